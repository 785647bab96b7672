#include "serve/foreign_fields.h"

#include <algorithm>

namespace glimmer::serve {
namespace {

constexpr std::string_view kStructured = "it needs structured output, which this server does not have yet";
constexpr std::string_view kLength = "the model alone decides where its answer ends";
constexpr std::string_view kTokens = "no token is kept out of answers but by logit_bias";
constexpr std::string_view kStep = "there is no such step in this server's sampling";
constexpr std::string_view kSearch = "answers are sampled one by one";
constexpr std::string_view kForm = "answers do not come in this form here";
constexpr std::string_view kPrompt = "prompts are made by the model's own chat template alone";
constexpr std::string_view kOneModel = "there is one model, as it was loaded";

// The rows whose names the table does not have yet.
void add_missing(FieldTable& table, const FieldTable& rows) {
  for (const FieldSpec& row : rows) {
    const bool there =
        std::any_of(table.begin(), table.end(), [&](const FieldSpec& own) { return own.name == row.name; });
    if (!there) table.push_back(row);
  }
}

void add_structure_fields(FieldTable& table) {
  const Json text_format = {{"type", "text"}};
  add_missing(table, {
                         refused_field("response_format", kStructured, {text_format}),
                         refused_field("output_format", kStructured, {"", "text", text_format}),
                         refused_field("format", kStructured, {"", "text", text_format}),
                         refused_field("text", kStructured, {Json::object(), {{"format", text_format}}}),
                         refused_field("output_config", kStructured, {Json::object(), {{"format", text_format}}}),
                         // vLLM
                         refused_field("guided_json", kStructured, {""}),
                         refused_field("guided_regex", kStructured, {""}),
                         refused_field("guided_choice", kStructured, {Json::array()}),
                         refused_field("guided_grammar", kStructured, {""}),
                         refused_field("guided_json_object", kStructured, {false}),
                         refused_field("guided_structural_tag", kStructured, {""}),
                         refused_field("guided_decoding", kStructured, {Json::object()}),
                         refused_field("structured_outputs", kStructured, {Json::object()}),
                         ignored_field("guided_decoding_backend", "Only with what is refused"),
                         ignored_field("guided_whitespace_pattern", "Only with what is refused"),
                         // SGLang
                         refused_field("regex", kStructured, {""}),
                         refused_field("ebnf", kStructured, {""}),
                         refused_field("structural_tag", kStructured, {""}),
                         // llama-server
                         refused_field("grammar", kStructured, {""}),
                         refused_field("json_schema", kStructured, {""}),
                         ignored_field("grammar_lazy", "Only with what is refused"),
                         ignored_field("grammar_triggers", "Only with what is refused"),
                         ignored_field("preserved_tokens", "Only with what is refused"),
                         // others
                         refused_field("json_mode", kStructured, {false}),
                         refused_field("response_schema", kStructured),
                         refused_field("min_tokens", kLength, {0}),
                         refused_field("min_new_tokens", kLength, {0}),
                         refused_field("min_length", kLength, {0}),
                         refused_field("stop_regex", "stop takes texts", {"", Json::array()}),
                         refused_field("bad_words", kTokens, {"", Json::array()}),
                         refused_field("bad_words_ids", kTokens, {Json::array()}),
                         refused_field("banned_tokens", kTokens, {"", Json::array()}),
                         refused_field("banned_strings", kTokens, {"", Json::array()}),
                         refused_field("custom_token_bans", kTokens, {""}),
                         refused_field("allowed_token_ids", kTokens, {Json::array()}),
                         refused_field("suppress_tokens", kTokens, {Json::array()}),
                         refused_field("logits_processors", "none can be given by a request", {Json::array()}),
                         refused_field("custom_logit_processor", "none can be given by a request", {""}),
                     });
}

void add_foreign_sampling_fields(FieldTable& table) {
  add_missing(table, {
                         refused_field("typical_p", kStep, {1}),
                         refused_field("typical", kStep, {1}),
                         refused_field("tfs_z", kStep, {1}),
                         refused_field("tfs", kStep, {1}),
                         refused_field("top_a", kStep, {0}),
                         refused_field("top_n_sigma", kStep, {-1, 0}),
                         refused_field("nsigma", kStep, {0}),
                         refused_field("epsilon_cutoff", kStep, {0}),
                         refused_field("eta_cutoff", kStep, {0}),
                         refused_field("mirostat", kStep, {0}),
                         refused_field("mirostat_mode", kStep, {0}),
                         ignored_field("mirostat_tau", "Only with mirostat"),
                         ignored_field("mirostat_eta", "Only with mirostat"),
                         refused_field("dry_multiplier", kStep, {0}),
                         ignored_field("dry_base", "Only with dry_multiplier"),
                         ignored_field("dry_allowed_length", "Only with dry_multiplier"),
                         ignored_field("dry_penalty_last_n", "Only with dry_multiplier"),
                         ignored_field("dry_sequence_breakers", "Only with dry_multiplier"),
                         refused_field("xtc_probability", kStep, {0}),
                         ignored_field("xtc_threshold", "Only with xtc_probability"),
                         refused_field("dynatemp_range", kStep, {0}),
                         ignored_field("dynatemp_exponent", "Only with dynatemp_range"),
                         refused_field("dynamic_temperature", kStep, {false}),
                         refused_field("smoothing_factor", kStep, {0}),
                         ignored_field("smoothing_curve", "Only with smoothing_factor"),
                         refused_field("adaptive_target", kStep, {-1}),
                         ignored_field("adaptive_decay", "Only with adaptive_target"),
                         refused_field("no_repeat_ngram_size", kStep, {0}),
                         refused_field("encoder_repetition_penalty", kStep, {1}),
                         refused_field("penalty_alpha", kStep, {0}),
                         refused_field("guidance_scale", kStep, {1}),
                         refused_field("cfg_scale", kStep, {1}),
                         refused_field("negative_prompt", kStep, {""}),
                         refused_field("use_beam_search", kSearch, {false}),
                         refused_field("num_beams", kSearch, {1}),
                         ignored_field("length_penalty", "Only with beams"),
                         ignored_field("early_stopping", "Only with beams"),
                         refused_field("best_of", kSearch, {1}),
                         refused_field("n", kSearch, {1}),
                         // The order of the steps is fixed.
                         ignored_field("samplers", "The order of the steps is fixed"),
                         ignored_field("sampler_seq", "The order of the steps is fixed"),
                         ignored_field("sampler_order", "The order of the steps is fixed"),
                         ignored_field("sampler_priority", "The order of the steps is fixed"),
                         ignored_field("temperature_last", "The order of the steps is fixed"),
                         ignored_field("min_keep", "A token is always left"),
                         ignored_field("penalize_nl", "Line ends are penalised as any text"),
                         ignored_field("penalize_newline", "Line ends are penalised as any text"),
                     });
}

void add_foreign_server_fields(FieldTable& table) {
  add_missing(table, {
                         refused_field("chat_template", kPrompt, {""}),
                         refused_field("documents", kPrompt, {Json::array()}),
                         refused_field("truncate_prompt_tokens", kPrompt),
                         refused_field("echo", kForm, {false}),
                         refused_field("suffix", kForm, {""}),
                         refused_field("prompt_logprobs", kForm),
                         refused_field("n_probs", "use logprobs", {0}),
                         refused_field("return_tokens_as_token_ids", kForm, {false}),
                         refused_field("include_stop_str_in_output", kForm, {false}),
                         refused_field("no_stop_trim", kForm, {false}),
                         refused_field("reasoning_format", kForm, {"auto", "deepseek", "deepseek-legacy"}),
                         refused_field("reasoning_in_content", kForm, {false}),
                         refused_field("separate_reasoning", kForm, {true}),
                         refused_field("parse_tool_calls", kForm, {true}),
                         refused_field("t_max_predict_ms", "answers are bounded by tokens, not by time", {-1, 0}),
                         refused_field("lora", kOneModel, {Json::array()}),
                         refused_field("lora_path", kOneModel, {""}),
                         refused_field("cache_salt", "glimmer serve --separate-keys keeps prefixes apart", {""}),
                         ignored_field("user"),
                         ignored_field("service_tier"),
                         ignored_field("client_metadata"),
                         ignored_field("cache_prompt", "Prefixes are always kept"),
                         ignored_field("n_cache_reuse"),
                         ignored_field("id_slot"),
                         ignored_field("slot_id"),
                         ignored_field("n_keep", "Contexts are not shifted"),
                         ignored_field("n_discard", "Contexts are not shifted"),
                         ignored_field("num_ctx", "The context is the server's"),
                         ignored_field("truncation_length", "Prompts that are too long are refused"),
                         ignored_field("keep_alive", "The model stays loaded"),
                         ignored_field("priority"),
                         ignored_field("request_id", "X-Request-Id is the header for it"),
                         ignored_field("rid"),
                         ignored_field("kv_transfer_params"),
                         ignored_field("timings_per_token"),
                         ignored_field("return_progress"),
                         ignored_field("return_tokens"),
                         ignored_field("post_sampling_probs"),
                         ignored_field("skip_special_tokens", "Of tags, texts keep what is no tag of the answer"),
                         ignored_field("spaces_between_special_tokens"),
                         ignored_field("stream_reasoning", "Always"),
                         ignored_field("include_reasoning", "Always"),
                         ignored_field("thinking_budget", "Not enforced, as Anthropic's budget_tokens"),
                         ignored_field("thinking_budget_tokens", "Not enforced, as Anthropic's budget_tokens"),
                         ignored_field("mm_processor_kwargs"),
                         ignored_field("speculative.n_max"),
                         ignored_field("speculative.n_min"),
                         ignored_field("speculative.p_min"),
                     });
}

}  // namespace

void add_foreign_fields(FieldTable& table) {
  add_structure_fields(table);
  add_foreign_sampling_fields(table);
  add_foreign_server_fields(table);
}

}  // namespace glimmer::serve

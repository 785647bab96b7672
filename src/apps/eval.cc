// glimmer eval: how well a model predicts a text, and what a conversion cost.
#include <chrono>
#include <cmath>

#include "apps/command.h"
#include "apps/eval_text.h"
#include "apps/loading.h"
#include "apps/options.h"
#include "apps/terminal.h"
#include "base/error.h"
#include "engine/local_runner.h"
#include "session/model_files.h"

namespace glimmer::apps {
namespace {

struct EvalOptions {
  ModelFlags model;
  ModelFlags other;  // kld
  EvalTextFlags text;
  RuntimeFlags runtime;
  bool all = false;
  bool as_json = false;
  bool quiet = false;
};

// Runs a measurement with a bar on standard error that shows the estimate so far, and times it.
template <typename Measure>
auto watched(const EvalOptions& options, const InterruptGuard& interrupt, double& seconds, const Measure& measure) {
  ProgressBar bar("measuring", !options.quiet && stderr_is_terminal());
  const auto start = std::chrono::steady_clock::now();
  auto result = measure([&](const EvaluateProgress& progress) {
    if (interrupt.interrupted()) fail(ErrorCode::kCancelled, "interrupted: there is no result");
    std::string note = fmt::format("perplexity {:.4f}", std::exp(progress.mean_nll));
    if (options.other.model) note += fmt::format(", KLD {:.6f}", progress.mean_kld);
    bar.update(progress.done_tokens, progress.total_tokens, progress.scored_tokens > 0 ? note : "");
  });
  seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

Json estimate_json(const Estimate& estimate) { return {{"value", estimate.value}, {"error", estimate.error}}; }

Json perplexity_json(const PerplexityResult& result) {
  return {{"perplexity", estimate_json(result.perplexity)}, {"nll", estimate_json(result.nll)}};
}

Json windows_json(const TextWindows& windows, const EvalOptions& options, std::span<const int32_t> head) {
  return {{"text", *options.text.file},
          {"text_tokens", windows.text_tokens()},
          {"context", windows.window_tokens()},
          {"windows", windows.count()},
          {"head", options.text.no_prefix ? std::vector<int32_t>{} : std::vector<int32_t>(head.begin(), head.end())},
          {"scored", options.all ? "all" : "second_half"},
          {"scored_tokens", windows.scored_tokens()},
          {"left_out_tokens", windows.left_out_tokens()}};
}

void add_timing(Json& json, const TextWindows& windows, double seconds) {
  json["seconds"] = seconds;
  json["tokens_per_s"] = static_cast<double>(windows.count() * (windows.window_tokens() - 1)) / seconds;
}

std::string shown(const Estimate& estimate, int decimals, double factor = 1) {
  return fmt::format("{:.{}f} ± {:.{}f}", estimate.value * factor, decimals, estimate.error * factor, decimals);
}

void add_shared_flags(Flags& flags, EvalOptions& options) {
  options.text.add(flags);
  flags.add_switch("--all", options.all, "Score every token of a window but the first, not just the second half")
      .group("Output")
      .add_switch("--json", options.as_json, "Print all numbers as one JSON object")
      .add_switch("-q,--quiet", options.quiet, "Print nothing but errors on standard error");
  options.runtime.add(flags);
  options.runtime.add_precision(flags, Precision::kExact);
}

LoadReport load_report(const EvalOptions& options) { return options.quiet ? LoadReport::kQuiet : LoadReport::kShown; }

ScoredTokens scored_tokens(const EvalOptions& options) {
  return options.all ? ScoredTokens::kAll : ScoredTokens::kSecondHalf;
}

int64_t chunk_tokens(const TextWindows& windows) {
  return std::min(Forward::kDefaultChunkTokens, windows.window_tokens());
}

int perplexity_command(Arguments arguments) {
  EvalOptions options;
  Flags flags("eval perplexity",
              "Perplexity of a text: exp(mean of -ln p(token)). The text is split into independent windows, and the "
              "second half "
              "of each is scored, as llama.cpp's perplexity does. Special tokens in the text are parsed as such.");
  options.model.add(flags);
  add_shared_flags(flags, options);
  flags.examples(
      "  glimmer eval perplexity -f models/demo/eval/text.txt\n"
      "  glimmer eval perplexity -m ~/models/GLM-4.7-Flash -f wiki.test.raw --ctx 2048 --windows 20 --json");
  if (!flags.parse(arguments)) return 0;
  options.text.check();

  const EvalModel subject(options.model);
  const Tokenizer& tokenizer = require_tokenizer(subject.tokenizer, subject.name);
  const std::vector<int32_t> head = window_head(tokenizer);
  const TextWindows windows = options.text.cut(tokenizer.encode(options.text.read(), {.add_special_tokens = false}),
                                               head, scored_tokens(options), subject.config.max_position_embeddings);

  const InterruptGuard interrupt;
  Context context(options.runtime.context_options());
  const Model model = load_model(subject.source, context, load_report(options), &interrupt);
  LocalRunner runner(model, context, chunk_tokens(windows));
  double seconds = 0;
  const PerplexityResult result = watched(options, interrupt, seconds, [&](const EvaluateCallback& progress) {
    return measure_perplexity(runner, windows, progress);
  });

  if (options.as_json) {
    Json json = {{"model", subject.name}};
    json.update(perplexity_json(result));
    json.update(windows_json(windows, options, head));
    add_timing(json, windows, seconds);
    write_output(dump_json(json) + "\n");
  } else {
    write_output(fmt::format("perplexity  {}\n", shown(result.perplexity, 4)));
    write_output(fmt::format("{}\n", describe(windows)));
  }
  return 0;
}

// Both models must read the text as the same tokens. One without a tokenizer takes the other's ids.
std::vector<int32_t> shared_ids(const EvalModel& base, const EvalModel& other, const std::string& text) {
  const std::vector<int32_t> ids =
      require_tokenizer(base.tokenizer, base.name).encode(text, {.add_special_tokens = false});
  if (!other.tokenizer) {
    tell("glimmer: {} has no tokenizer; using the token ids of {}\n", other.name, base.name);
    return ids;
  }
  const int32_t base_size = base.tokenizer->vocab_size();
  const int32_t other_size = other.tokenizer->vocab_size();
  if (base_size != other_size) {
    fail(ErrorCode::kInvalid, "the tokenizers differ: {} has {} tokens, {} has {}", base.name, base_size, other.name,
         other_size);
  }
  const std::vector<int32_t> other_ids = other.tokenizer->encode(text, {.add_special_tokens = false});
  if (other_ids == ids) return ids;
  const auto at = std::mismatch(ids.begin(), ids.end(), other_ids.begin(), other_ids.end());
  fail(ErrorCode::kInvalid, "the tokenizers differ: {} and {} read the text alike up to token {}", base.name,
       other.name, at.first - ids.begin());
}

Json kld_json(const KldResult& result) {
  return {{"base", perplexity_json(result.base)},
          {"other", perplexity_json(result.other)},
          {"ln_perplexity_ratio", estimate_json(result.log_ratio)},
          {"perplexity_ratio", std::exp(result.log_ratio.value)},
          {"perplexity_difference", result.other.perplexity.value - result.base.perplexity.value},
          {"kld",
           {{"mean", estimate_json(result.kld)},
            {"min", result.kld_min},
            {"p1", result.kld_p1},
            {"median", result.kld_median},
            {"p90", result.kld_p90},
            {"p99", result.kld_p99},
            {"max", result.kld_max}}},
          {"same_top", estimate_json(result.same_top)},
          {"delta_p", estimate_json(result.delta_p)},
          {"rms_delta_p", estimate_json(result.rms_delta_p)}};
}

std::string kld_text(const KldResult& result) {
  std::string out = fmt::format("perplexity of base    {}\n", shown(result.base.perplexity, 4));
  out += fmt::format("perplexity of other   {}\n", shown(result.other.perplexity, 4));
  out += fmt::format("ln of their ratio     {}\n", shown(result.log_ratio, 6));
  out += fmt::format("KLD, mean             {}\n", shown(result.kld, 6));
  out += fmt::format("KLD, percentiles      1: {:.6f}   50: {:.6f}   90: {:.6f}   99: {:.6f}   max: {:.6f}\n",
                     result.kld_p1, result.kld_median, result.kld_p90, result.kld_p99, result.kld_max);
  out += fmt::format("same top token        {} %\n", shown(result.same_top, 3, 100));
  out += fmt::format("difference of p       {} % mean, {} % RMS\n", shown(result.delta_p, 3, 100),
                     shown(result.rms_delta_p, 3, 100));
  return out;
}

int kld_command(Arguments arguments) {
  EvalOptions options;
  Flags flags("eval kld",
              "Kullback-Leibler divergence of another model's predictions from a base model's, in nats per token, over "
              "the windows of eval perplexity; also how often both agree on the top token, by how much the "
              "probability of the text's tokens differs, and both perplexities. Both models are in memory at once, "
              "each with the KV cache of one window and at most 64 MiB of logits.");
  options.model.add(flags);
  std::optional<std::string> other_kv_type;
  flags.add("--model2", options.other.model, "PATH", "The other model; short form -m2")
      .add("--kv-type2", other_kv_type, "NAME",
           "KV cache type of the other model (default: as --kv-type); without -m2 the model is compared with itself");
  add_shared_flags(flags, options);
  flags.examples(
      "  glimmer eval kld -m ~/models/GLM-4.7-Flash -m2 flash-q4.gguf -f wiki.test.raw\n"
      "  glimmer eval kld -m2 demo-q4.gguf -f models/demo/eval/text.txt --json\n"
      "  glimmer eval kld --kv-type bf16 --kv-type2 int8 -f models/demo/eval/text.txt");
  // Flags knows short names of one letter only.
  std::vector<const char*> spelt(arguments.begin(), arguments.end());
  for (const char*& argument : spelt) {
    if (std::string_view(argument) == "-m2") argument = "--model2";
  }
  if (!flags.parse(spelt)) return 0;
  options.text.check();
  if (!options.other.model && !other_kv_type) {
    fail(ErrorCode::kUsage, "there is nothing to compare with: name another model with -m2, or --kv-type2");
  }
  if (!options.other.model) options.other.model = options.model.model;
  std::optional<KvType> other_type;
  if (other_kv_type) other_type = kv_type_by_name(*other_kv_type);

  const EvalModel base(options.model);
  const EvalModel other(options.other);
  const std::vector<int32_t> ids = shared_ids(base, other, options.text.read());
  const std::vector<int32_t> head = window_head(*base.tokenizer);
  const TextWindows windows =
      options.text.cut(ids, head, scored_tokens(options),
                       std::min(base.config.max_position_embeddings, other.config.max_position_embeddings));

  const InterruptGuard interrupt;
  Context context(options.runtime.context_options());
  const Model base_model = load_model(base.source, context, load_report(options), &interrupt);
  const Model other_model = load_model(other.source, context, load_report(options), &interrupt);
  LocalRunner base_runner(base_model, context, chunk_tokens(windows));
  LocalRunner other_runner(other_model, context, chunk_tokens(windows));
  double seconds = 0;
  const KldResult result = watched(options, interrupt, seconds, [&](const EvaluateCallback& progress) {
    return measure_kld(base_runner, other_runner, windows, progress, other_type);
  });

  if (options.as_json) {
    Json json = {{"model", base.name}, {"model2", other.name}};
    json["kv_type"] = kv_type_name(context.kv_type());
    json["kv_type2"] = kv_type_name(other_type.value_or(context.kv_type()));
    json.update(kld_json(result));
    json.update(windows_json(windows, options, head));
    add_timing(json, windows, seconds);
    write_output(dump_json(json) + "\n");
  } else {
    write_output(kld_text(result));
    write_output(fmt::format("{}\n", describe(windows)));
  }
  return 0;
}

constexpr const char* kHelp =
    "Measures a model on a text.\n\n"
    "Usage: glimmer eval perplexity|kld [OPTIONS]\n\n"
    "  perplexity  How well a model predicts a text\n"
    "  kld         How far another model's predictions are from a base model's: the cost of a conversion\n\n"
    "  glimmer eval MEASURE --help   flags and examples\n\n"
    "Examples:\n"
    "  glimmer eval perplexity -m ~/models/GLM-4.7-Flash -f wiki.test.raw\n"
    "  glimmer eval kld -m ~/models/GLM-4.7-Flash -m2 flash-q4.gguf -f wiki.test.raw\n";

}  // namespace

int eval_command(Arguments arguments) {
  const std::string_view measure = arguments.empty() ? "" : arguments[0];
  if (measure == "--help" || measure == "-h") {
    write_output(kHelp);
    return 0;
  }
  if (measure == "perplexity") return perplexity_command(arguments.subspan(1));
  if (measure == "kld") return kld_command(arguments.subspan(1));
  fail(ErrorCode::kUsage, "eval: expected perplexity or kld, found '{}' (see 'glimmer eval --help')", measure);
}

}  // namespace glimmer::apps

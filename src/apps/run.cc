// glimmer run: one prompt, one answer.
#include <chrono>
#include <cstdio>

#include "apps/answer_stream.h"
#include "apps/command.h"
#include "apps/loading.h"
#include "apps/options.h"
#include "apps/prompt.h"
#include "apps/terminal.h"
#include "base/error.h"
#include "base/mapped_file.h"
#include "engine/generate.h"
#include "engine/local_runner.h"
#include "session/model_files.h"

namespace glimmer::apps {
namespace {

struct RunOptions {
  ModelFlags model;
  RuntimeFlags runtime;
  SamplingFlags sampling;
  LengthFlags length;
  TemplateFlags template_flags;
  std::optional<std::string> prompt;
  std::optional<std::string> file;
  std::optional<std::string> ids;
  std::optional<std::string> system;
  std::optional<std::string> tools;
  bool raw = false;
  bool as_json = false;
  bool show_thinking = false;
  bool quiet = false;
  bool raw_output = false;
};

struct Prompt {
  std::vector<int32_t> ids;
  std::optional<OutputParserOptions> output;  // how the answer to it is to be read; absent: as it is
};

struct Timings {
  double load_s = 0;
  GenerationTimings generation;
};

void add_flags(Flags& flags, RunOptions& options) {
  flags.add("PROMPT", options.prompt, "", "The prompt (default: standard input, if it is not a terminal)");
  options.model.add(flags);
  flags.add("-f,--file", options.file, "FILE", "Read the prompt from a file; - is standard input")
      .add("--ids", options.ids, "1,2,3", "The prompt as token ids; no tokenizer needed")
      .add("--system", options.system, "TEXT", "System message")
      .add("--tools", options.tools, "FILE.json", "Tools that the model may call, in OpenAI's format")
      .add_switch("--raw", options.raw, "Use the prompt as is, without the chat template")
      .add_switch("--json", options.as_json, "Print one JSON object: ids, text, finish_reason, timings, ...")
      .add_switch("--show-thinking", options.show_thinking,
                  "Print the reasoning in a pipe too (on a terminal it is shown dimmed)")
      .add_switch("-q,--quiet", options.quiet, "Print nothing but errors on standard error")
      .add_switch("--raw-output", options.raw_output, kRawOutputHelp);
  options.template_flags.add(flags);
  options.length.add(flags);
  options.sampling.add(flags);
  options.runtime.add(flags);
  options.runtime.add_precision(flags, Precision::kFast);
  flags.examples(
      "  glimmer run \"What is 17 + 25?\"\n"
      "  glimmer run -m ~/models/GLM-4.7-Flash --no-thinking -n 200 -f question.txt\n"
      "  git diff | glimmer run --system \"Review this change\" --temperature 0.6 --seed 1\n"
      "  glimmer run --raw \"Once upon a time\" -n 50 --json");
}

void check_options(const RunOptions& options) {
  const int sources = (options.prompt ? 1 : 0) + (options.file ? 1 : 0) + (options.ids ? 1 : 0);
  if (sources > 1) fail(ErrorCode::kUsage, "PROMPT, --file and --ids exclude each other");
  const bool wants_template =
      options.system || options.tools || options.template_flags.no_thinking || !options.template_flags.args.empty();
  if (wants_template && (options.raw || options.ids)) {
    fail(ErrorCode::kUsage,
         "--system, --tools, --template-arg and --no-thinking need the chat template; --raw and --ids go without");
  }
  options.length.check();
}

// The prompt as typed. Of a file or pipe one line end at its end is not part of it.
std::string prompt_text(const RunOptions& options) {
  std::string text;
  if (options.prompt) {
    text = *options.prompt;
  } else {
    const bool from_stdin = !options.file || *options.file == "-";
    if (!options.file && stdin_is_terminal()) {
      fail(ErrorCode::kUsage, "there is no prompt: give it as an argument, with --file, or on standard input");
    }
    text = from_stdin ? read_all_input() : read_file(*options.file);
    if (text.ends_with('\n')) text.pop_back();
    if (text.ends_with('\r')) text.pop_back();
  }
  if (text.empty()) fail(ErrorCode::kUsage, "the prompt is empty");
  return text;
}

Chat conversation(const RunOptions& options, std::string text) {
  using Role = ChatMessage::Role;
  Chat chat;
  if (options.system) chat.messages.push_back({.role = Role::kSystem, .content = *options.system});
  chat.messages.push_back({.role = Role::kUser, .content = std::move(text)});
  if (options.tools) {
    for (const Json& tool : read_tools(*options.tools)) chat.tools.push_back(tool);
  }
  options.template_flags.apply(chat.template_args);
  return chat;
}

// `model`: null where there is no tokenizer; then there are ids.
Prompt make_prompt(const RunOptions& options, const ChatModel* model) {
  if (options.ids) {
    Prompt prompt{.ids = parse_ids(*options.ids, "--ids")};
    if (prompt.ids.empty()) fail(ErrorCode::kUsage, "--ids: there are no ids");
    return prompt;
  }
  std::string text = prompt_text(options);
  if (options.raw) return {.ids = model->prepare(RawPrompt(std::move(text))).ids};
  const Chat chat = conversation(options, std::move(text));
  PreparedPrompt prepared = model->prepare(chat);
  Prompt prompt{.ids = std::move(prepared.ids)};
  OutputParserOptions& output = prompt.output.emplace();
  output.starts_in_reasoning = prepared.opens_reasoning;
  if (options.tools) {
    output.format = model->tool_call_format();
    output.tools = std::make_shared<const ToolSchemas>(Json(chat.tools));
  }
  return prompt;
}

AnswerStyle style_of(const RunOptions& options) {
  if (options.as_json) return AnswerStyle::kCollected;
  return options.raw || options.ids ? AnswerStyle::kAsGenerated : AnswerStyle::kForReading;
}

Json stop_reason(const Sequence& sequence, const AnswerStream& stream) {
  if (sequence.finish_reason() == FinishReason::kStopToken) return sequence.tokens().back();
  if (sequence.finish_reason() == FinishReason::kStopString) return stream.answer().finish.stop_string;
  return nullptr;
}

Json timings_json(const Timings& timings) {
  const GenerationTimings& t = timings.generation;
  return {{"load_s", timings.load_s},
          {"prefill_tokens", t.prefill_tokens},
          {"prefill_s", t.prefill_s},
          {"prefill_tokens_per_s", t.prefill_tokens_per_s()},
          {"decode_tokens", t.decode_tokens},
          {"decode_s", t.decode_s},
          {"decode_tokens_per_s", t.decode_tokens_per_s()},
          {"decode_gb_per_s", t.decode_gb_per_s()}};
}

// Arguments are JSON text, as in OpenAI's API; of a call that was cut off they are not whole.
Json tool_calls_json(const Answer& answer) {
  Json calls = Json::array();
  for (const AnswerPart& part : answer.parts) {
    if (part.kind == DeltaKind::kToolCallBegin) calls.push_back({{"name", part.name}, {"arguments", part.text}});
  }
  return calls;
}

// What the texts say is null for a model without a tokenizer.
Json answer_json(const Sequence& sequence, const AnswerStream& stream, const Tokenizer* tokenizer) {
  const auto text_or_null = [&](const std::string& text) { return tokenizer != nullptr ? Json(text) : Json(); };
  return {{"ids", sequence.generated()},
          {"text", text_or_null(stream.text())},
          {"reasoning_content", text_or_null(stream.answer().text(DeltaKind::kReasoning))},
          {"content", text_or_null(stream.answer().text(DeltaKind::kContent))},
          {"tool_calls", tool_calls_json(stream.answer())},
          {"finish_reason", finish_reason_name(*sequence.finish_reason())},
          {"stop_reason", stop_reason(sequence, stream)},
          {"prompt_tokens", sequence.prompt_count()},
          {"completion_tokens", sequence.generated().size()}};
}

Timings generate(const RunOptions& options, const std::shared_ptr<const ModelSource>& source, Sequence& sequence,
                 AnswerStream& stream) {
  const InterruptGuard interrupt;
  Context context(options.runtime.context_options());
  const auto start = std::chrono::steady_clock::now();
  const Model model = load_model(source, context, options.quiet ? LoadReport::kQuiet : LoadReport::kShown, &interrupt);
  Timings timings;
  timings.load_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  LocalRunner runner(model, context, std::min(Forward::kDefaultChunkTokens, sequence.prompt_count()));
  Generator generator(runner, &interrupt.flag());
  timings.generation = generator.run(sequence, [&](int32_t id) { return stream.take(id); });
  stream.finish(*sequence.finish_reason());
  return timings;
}

}  // namespace

int run_command(Arguments arguments) {
  RunOptions options;
  Flags flags(
      "run",
      "Answers one prompt. The answer is streamed to standard output; a last line on standard error reports the "
      "speed.");
  add_flags(flags, options);
  if (!flags.parse(arguments)) return 0;
  check_options(options);
  if (options.raw_output) allow_raw_output();

  // All that can be wrong is found before the weights are read.
  ModelFiles files = open_model(options.model.folder_or_file());
  if (!files.tokenizer && !options.length.stop.empty()) {
    fail(ErrorCode::kUsage, "--stop needs a tokenizer, and {} has none", files.files.model);
  }
  GenerationOptions generation;
  generation.sampling = options.sampling.resolve(files.sampling, files.config.vocab_size);
  if (!options.quiet && files.sampling.samples) tell("glimmer: default sampling: {}\n", files.sampling.describe());
  generation.max_new_tokens = options.length.max_tokens;
  if (!options.length.ignore_eos) generation.stop_ids = files.stop_ids();
  std::optional<ChatModel> chat;
  const bool wants_template = !options.raw && !options.ids;
  if (files.tokenizer || !options.ids) chat = wants_template ? chat_model(files) : text_model(files);
  Prompt prompt = make_prompt(options, chat ? &*chat : nullptr);
  const Tokenizer* tokenizer = chat ? &chat->tokenizer() : nullptr;
  Sequence sequence(files.config, options.runtime.context_options().kept_kv_type());
  sequence.start(std::move(prompt.ids), generation);
  AnswerStream stream(tokenizer, {.style = style_of(options),
                                  .reasoning = shown_reasoning(stdout_is_terminal(), options.show_thinking),
                                  .output = prompt.output,
                                  .stop = options.length.stop});

  const Timings timings = generate(options, files.source, sequence, stream);
  if (options.as_json) {
    Json out = answer_json(sequence, stream, tokenizer);
    out["seed"] = generation.sampling.seed;
    out["timings"] = timings_json(timings);
    write_output(dump_json(out) + "\n");
    flush_output();
  }
  const bool cancelled = sequence.finish_reason() == FinishReason::kCancelled;
  const bool stopped_by_context = sequence.finish_reason() == FinishReason::kLength && sequence.context_full() &&
                                  static_cast<int64_t>(sequence.generated().size()) != options.length.max_tokens;
  if (stopped_by_context) {
    tell("glimmer: the context is full: {} tokens (max_position_embeddings)\n", sequence.tokens().size());
  }
  const std::vector<AnswerPart>& parts = stream.answer().parts;
  const bool only_thought = parts.size() == 1 && parts.front().kind == DeltaKind::kReasoning;
  if (only_thought && !options.quiet && !options.as_json) {
    tell("glimmer: the output ended within the reasoning: there is no answer\n");
  }
  if (!options.quiet) {
    tell("glimmer: {}{}\n", cancelled ? "interrupted: " : "", statistics_line(sequence, timings.generation));
  }
  return cancelled ? kInterruptedExitStatus : 0;
}

}  // namespace glimmer::apps

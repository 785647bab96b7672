// glimmer imatrix: which columns of each weight matter, for glimmer convert --imatrix.
#include <algorithm>
#include <chrono>

#include "apps/command.h"
#include "apps/eval_text.h"
#include "apps/loading.h"
#include "apps/terminal.h"
#include "base/error.h"
#include "engine/importance.h"
#include "session/model_files.h"

namespace glimmer::apps {
namespace {

namespace fs = std::filesystem;

constexpr size_t kWorstShown = 5;

struct ImatrixOptions {
  ModelFlags model;
  EvalTextFlags text;
  RuntimeFlags runtime{.precision = "exact"};  // products tell what they read in float32
  std::optional<std::string> output;
  int64_t min_tokens = 100;
  bool as_json = false;
  bool quiet = false;
};

void check_options(const ImatrixOptions& options) {
  options.text.check();
  if (!options.output || options.output->empty()) fail(ErrorCode::kUsage, "there is no output: name a file with -o");
  if (options.min_tokens < 1) {
    fail(ErrorCode::kUsage, "--min-tokens is {}, but must be at least 1", options.min_tokens);
  }
  const fs::path output = *options.output;  // found out before the work, not after it
  std::error_code ignored;
  const fs::path folder = output.has_parent_path() ? output.parent_path() : fs::path(".");
  if (!fs::is_directory(folder, ignored)) {
    fail(ErrorCode::kNotFound, "{}: there is no folder {}", output.string(), folder.string());
  }
  if (fs::exists(output, ignored) && !fs::is_regular_file(output, ignored)) {
    fail(ErrorCode::kIo, "{}: exists and is not a regular file", output.string());
  }
}

// The experts that fewer than `min_tokens` were routed to, the fewest first.
std::vector<ExpertCount> seldom_routed(std::vector<ExpertCount> counts, int64_t min_tokens) {
  std::erase_if(counts, [&](const ExpertCount& count) { return count.tokens >= min_tokens; });
  std::stable_sort(counts.begin(), counts.end(),
                   [](const ExpertCount& a, const ExpertCount& b) { return a.tokens < b.tokens; });
  return counts;
}

void warn_of_seldom_routed(std::span<const ExpertCount> seldom, size_t experts, int64_t min_tokens) {
  if (seldom.empty()) return;
  std::string worst;
  for (size_t i = 0; i < std::min(kWorstShown, seldom.size()); ++i) {
    worst += fmt::format("{}layer {} expert {} ({})", i == 0 ? "" : ", ", seldom[i].layer, seldom[i].expert,
                         seldom[i].tokens);
  }
  const auto none =
      std::count_if(seldom.begin(), seldom.end(), [](const ExpertCount& count) { return count.tokens == 0; });
  tell(
      "glimmer: warning: {} of {} experts saw fewer than {} tokens, {} of them none; fewest: {}; a longer text helps\n",
      seldom.size(), experts, min_tokens, none, worst);
}

Json summary_json(const ImatrixOptions& options, const EvalModel& subject, const TextWindows& windows,
                  size_t weight_count, std::span<const ExpertCount> seldom, size_t experts, double seconds) {
  Json list = Json::array();
  for (const ExpertCount& count : seldom) {
    list.push_back({{"layer", count.layer}, {"expert", count.expert}, {"tokens", count.tokens}});
  }
  return {{"model", subject.name},
          {"output", *options.output},
          {"text", *options.text.file},
          {"context", windows.window_tokens()},
          {"windows", windows.count()},
          {"tokens", windows.count() * windows.window_tokens()},
          {"left_out_tokens", windows.left_out_tokens()},
          {"weights", weight_count},
          {"experts", experts},
          {"min_tokens", options.min_tokens},
          {"seldom_routed", list},
          {"seconds", seconds}};
}

void add_flags(Flags& flags, ImatrixOptions& options) {
  options.model.add(flags);
  options.text.add(flags);
  flags.group("Output")
      .add("-o,--output", options.output, "FILE", "Safetensors file to write; an existing one is replaced")
      .add("--min-tokens", options.min_tokens, "N", "Warn about experts that received fewer tokens (default: 100)")
      .add_switch("--json", options.as_json,
                  "Print one JSON object: what was measured, and every expert below --min-tokens")
      .add_switch("-q,--quiet", options.quiet, "Print nothing but warnings and errors on standard error");
  options.runtime.add(flags);
  flags.examples(
      "  glimmer imatrix -m ~/models/GLM-4.7-Flash -f calibration.txt -o flash.imatrix\n"
      "  glimmer convert ~/models/GLM-4.7-Flash flash-q4.gguf --type q4_k --imatrix flash.imatrix");
}

void collect(const ImatrixOptions& options, const EvalModel& subject, const TextWindows& windows,
             ImportanceCollector& collector) {
  const InterruptGuard interrupt;
  Context context(options.runtime.context_options());
  const Model model =
      load_model(subject.source, context, options.quiet ? LoadReport::kQuiet : LoadReport::kShown, &interrupt);
  Forward forward(model, context, windows.window_tokens());
  ProgressBar bar("measuring", !options.quiet && stderr_is_terminal());
  collect_importance(forward, windows, collector, [&](const EvaluateProgress& progress) {
    if (interrupt.interrupted()) fail(ErrorCode::kCancelled, "interrupted: nothing was written");
    bar.update(progress.done_tokens, progress.total_tokens, fmt::format("of {} tokens", progress.total_tokens));
  });
}

}  // namespace

int imatrix_command(Arguments arguments) {
  ImatrixOptions options;
  Flags flags(
      "imatrix",
      "Runs a text through a model and writes, for each weight, the mean square of the activation that each column is "
      "multiplied by. glimmer convert --imatrix weights quantisation errors by it. For an expert, only the tokens "
      "routed to it count.");
  add_flags(flags, options);
  if (!flags.parse(arguments)) return 0;
  check_options(options);

  const EvalModel subject(options.model);
  const Tokenizer& tokenizer = require_tokenizer(subject.tokenizer, subject.name);
  const TextWindows windows =
      options.text.cut(tokenizer.encode(options.text.read(), {.add_special_tokens = false}), window_head(tokenizer),
                       ScoredTokens::kAll, subject.config.max_position_embeddings);
  const auto start = std::chrono::steady_clock::now();
  ImportanceCollector collector;
  collect(options, subject, windows, collector);
  const std::vector<WeightImportance> weights = collector.weights();
  write_importance(*options.output, weights,
                   {{"model", fs::path(subject.name).filename().string()},
                    {"text", fs::path(*options.text.file).filename().string()},
                    {"tokens", std::to_string(windows.count() * windows.window_tokens())},
                    {"context", std::to_string(windows.window_tokens())}});

  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const std::vector<ExpertCount> counts = expert_counts(collector, subject.config);
  const std::vector<ExpertCount> seldom = seldom_routed(counts, options.min_tokens);
  warn_of_seldom_routed(seldom, counts.size(), options.min_tokens);
  if (options.as_json) {
    write_output(dump_json(summary_json(options, subject, windows, weights.size(), seldom, counts.size(), seconds)) +
                 "\n");
  } else {
    write_output(fmt::format("{}: {} weights from {} windows of {} tokens\n", *options.output, weights.size(),
                             windows.count(), windows.window_tokens()));
  }
  return 0;
}

}  // namespace glimmer::apps

#include "apps/eval_text.h"

#include <algorithm>

#include "apps/terminal.h"
#include "base/error.h"
#include "base/mapped_file.h"
#include "session/model_files.h"
#include "source/side_files.h"

namespace glimmer::apps {
namespace {

constexpr int64_t kDefaultContext = 512;

}  // namespace

EvalModel::EvalModel(const ModelFlags& flags)
    : name(flags.folder_or_file().string()),
      source(ModelSource::open(name)),
      config(read_config(side_files_of(*source))),
      tokenizer(find_tokenizer(side_files_of(*source))) {}

void EvalTextFlags::add(Flags& flags) {
  flags.group("Text")
      .add("-f,--file", file, "TEXT", "Text file; - is standard input")
      .add("--ctx", context, "N", "Tokens per window (default: 512, or the model's context if shorter)")
      .add("--windows", windows, "N", "Use the first N windows only")
      .add_switch("--no-prefix", no_prefix, "Do not prepend the tokenizer's BOS or GLM's [gMASK]<sop> to each window");
}

void EvalTextFlags::check() const {
  if (!file) fail(ErrorCode::kUsage, "there is no text: name a file with -f (- is standard input)");
  if (context && *context < 2) fail(ErrorCode::kUsage, "--ctx is {}, but must be at least 2", *context);
  if (windows && *windows < 1) fail(ErrorCode::kUsage, "--windows is {}, but must be at least 1", *windows);
}

std::string EvalTextFlags::read() const {
  std::string text = *file == "-" ? read_all_input() : read_file(*file);
  if (text.empty()) fail(ErrorCode::kInvalid, "{}: the text is empty", *file == "-" ? "standard input" : *file);
  return text;
}

TextWindows EvalTextFlags::cut(std::span<const int32_t> text, std::vector<int32_t> head, ScoredTokens scored,
                               int64_t context_limit) const {
  if (context && *context > context_limit) {
    fail(ErrorCode::kUsage, "--ctx is {}, but the model's context holds {} (max_position_embeddings)", *context,
         context_limit);
  }
  return TextWindows(text, {.context = context.value_or(std::min(kDefaultContext, context_limit)),
                            .head = no_prefix ? std::vector<int32_t>{} : std::move(head),
                            .scored = scored,
                            .max_windows = windows});
}

std::vector<int32_t> window_head(const Tokenizer& tokenizer) {
  const std::vector<int32_t> bare = tokenizer.encode("a", {.add_special_tokens = false});
  const std::vector<int32_t> full = tokenizer.encode("a", {.add_special_tokens = true});
  const auto text = std::search(full.begin(), full.end(), bare.begin(), bare.end());
  if (text != full.begin()) return {full.begin(), text};
  const auto added = [&](std::string_view content) -> std::optional<int32_t> {
    for (const AddedToken& token : tokenizer.added_tokens()) {
      if (token.content == content) return token.id;
    }
    return std::nullopt;
  };
  const auto gmask = added("[gMASK]");
  const auto sop = added("<sop>");
  if (gmask && sop) return {*gmask, *sop};
  return {};
}

std::string describe(const TextWindows& windows) {
  std::string text = fmt::format("{} window{} of {} tokens, {} scored", windows.count(),
                                 windows.count() == 1 ? "" : "s", windows.window_tokens(), windows.scored_tokens());
  if (windows.left_out_tokens() > 0) text += fmt::format("; {} at the end left out", windows.left_out_tokens());
  return text;
}

}  // namespace glimmer::apps

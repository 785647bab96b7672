// glimmer logits: the numbers behind a token, for comparison with other implementations.
#include <algorithm>
#include <cmath>
#include <iterator>

#include "apps/command.h"
#include "apps/loading.h"
#include "apps/options.h"
#include "apps/terminal.h"
#include "apps/trace.h"
#include "base/error.h"
#include "model/forward.h"
#include "source/side_files.h"

namespace glimmer::apps {
namespace {

struct LogitsOptions {
  ModelFlags model;
  RuntimeFlags runtime;
  std::string ids;
  std::string trace;
  int64_t chunk = Forward::kDefaultChunkTokens;
  std::optional<int64_t> top;
  bool as_json = false;
  bool quiet = false;
};

// Shortest text that reads back as the same float32; JSON has no NaN or infinity, so they are null.
void append_row(std::string& out, std::span<const float> row) {
  out += '[';
  for (size_t i = 0; i < row.size(); ++i) {
    if (i > 0) out += ',';
    if (std::isfinite(row[i])) {
      fmt::format_to(std::back_inserter(out), "{}", row[i]);
    } else {
      out += "null";
    }
  }
  out += ']';
}

// "position  id logit  id logit ...", the largest first.
std::string top_line(int64_t position, std::span<const float> row, int64_t top) {
  std::vector<int32_t> ids(row.size());
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(i);
  const auto middle = ids.begin() + std::min<int64_t>(top, static_cast<int64_t>(ids.size()));
  std::partial_sort(ids.begin(), middle, ids.end(),
                    [&](int32_t a, int32_t b) { return row[a] != row[b] ? row[a] > row[b] : a < b; });
  std::string out = fmt::format("{}", position);
  for (auto id = ids.begin(); id != middle; ++id) fmt::format_to(std::back_inserter(out), "\t{}:{}", *id, row[*id]);
  return out + "\n";
}

// Runs the prompt chunk by chunk and prints the rows of each as they come.
void print_logits(Forward& forward, std::span<const int32_t> ids, const LogitsOptions& options) {
  const int64_t vocab_size = forward.model().config().vocab_size;
  KvCache kv = forward.make_cache();
  if (!options.top)
    write_output(fmt::format("{{\"positions\":{},\"vocab_size\":{},\"logits\":[", ids.size(), vocab_size));
  for (size_t begin = 0; begin < ids.size();) {
    const auto count = std::min(static_cast<size_t>(forward.chunk_tokens()), ids.size() - begin);
    const ConstTensorView logits = forward.run(ids.subspan(begin, count), kv, LogitsFor::kAllTokens);
    for (size_t i = 0; i < count; ++i) {
      const std::span row(logits.as<float>() + i * static_cast<size_t>(vocab_size), static_cast<size_t>(vocab_size));
      std::string line;
      if (options.top) {
        line = top_line(static_cast<int64_t>(begin + i), row, *options.top);
      } else {
        if (begin + i > 0) line = ",";
        append_row(line, row);
      }
      write_output(line);
    }
    begin += count;
  }
  if (!options.top) write_output("]}\n");
}

void check_prompt(std::span<const int32_t> ids, const ModelConfig& config) {
  if (ids.empty()) fail(ErrorCode::kUsage, "--ids: there are no ids");
  for (const int32_t id : ids) {
    if (id >= config.vocab_size) {
      fail(ErrorCode::kUsage, "--ids: {} is outside [0, {}) (vocab_size of {})", id, config.vocab_size, config.source);
    }
  }
  if (static_cast<int64_t>(ids.size()) > config.max_position_embeddings) {
    fail(ErrorCode::kLimit, "--ids: {} tokens, but the context holds {} (max_position_embeddings)", ids.size(),
         config.max_position_embeddings);
  }
}

}  // namespace

int logits_command(Arguments arguments) {
  LogitsOptions options;
  Flags flags("logits",
              "Prints the logits of every position of a prompt in full float32 precision, as JSON:\n"
              "{\"positions\":T,\"vocab_size\":V,\"logits\":[[...],...]}");
  options.model.add(flags);
  flags.add("--ids", options.ids, "1,2,3", "Token ids of the prompt; no tokenizer needed")
      .add_switch("--json", options.as_json, "Print JSON (default)")
      .add("--top", options.top, "K", "Print the K largest logits of each position as id:logit instead")
      .add("--trace", options.trace, "FILE.safetensors", "Write every named intermediate tensor")
      .add("--chunk", options.chunk, "N", "Run the prompt N tokens at a time; 1 takes the decoding path")
      .add_switch("-q,--quiet", options.quiet, "Print nothing but errors on standard error");
  options.runtime.add(flags);
  options.runtime.add_precision(flags, Precision::kExact);
  flags.examples(
      "  glimmer logits --ids 1,2,3 > logits.json\n"
      "  glimmer logits --ids 1,2,3 --backend ref --trace ref.safetensors > /dev/null\n"
      "  glimmer logits --ids \"$(glimmer tokenize Hello)\" --top 5");
  if (!flags.parse(arguments)) return 0;
  if (options.top && (options.as_json || *options.top < 1)) {
    fail(ErrorCode::kUsage, "--top must be at least 1, and excludes --json");
  }
  constexpr int64_t kMaxChunkTokens = 1 << 16;  // activations take memory for each
  if (options.chunk < 1 || options.chunk > kMaxChunkTokens) {
    fail(ErrorCode::kUsage, "--chunk is {}, but must be in [1, {}]", options.chunk, kMaxChunkTokens);
  }
  if (const std::filesystem::path trace = options.trace; !trace.empty()) {  // found out before the work, not after it
    std::error_code ignored;
    const auto folder = trace.has_parent_path() ? trace.parent_path() : std::filesystem::path(".");
    if (!std::filesystem::is_directory(folder, ignored)) {
      fail(ErrorCode::kNotFound, "--trace {}: there is no folder {}", options.trace, folder.string());
    }
  }
  const std::vector<int32_t> ids = parse_ids(options.ids, "--ids");
  const std::shared_ptr<const ModelSource> source = ModelSource::open(options.model.folder_or_file());
  check_prompt(ids, read_config(side_files_of(*source)));

  Context context(options.runtime.context_options());
  const Model model = load_model(source, context, options.quiet ? LoadReport::kQuiet : LoadReport::kShown);
  Forward forward(model, context, std::min(options.chunk, static_cast<int64_t>(ids.size())));
  Trace trace;
  if (!options.trace.empty()) context.set_probe(&trace);
  print_logits(forward, ids, options);
  if (!options.trace.empty()) trace.write(options.trace);
  return 0;
}

}  // namespace glimmer::apps

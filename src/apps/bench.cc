// glimmer bench: measures a model's speed against what the machine can do.
#include <fmt/format.h>

#include <algorithm>

#include "apps/card_model.h"
#include "apps/command.h"
#include "apps/loading.h"
#include "apps/options.h"
#include "apps/terminal.h"
#include "base/cpu_features.h"
#include "base/error.h"
#include "base/memory_info.h"
#include "engine/benchmark.h"
#include "engine/plan.h"
#include "model/expected_tensors.h"
#include "model/forward.h"
#include "source/side_files.h"
#include "source/synthetic_source.h"

namespace glimmer::apps {
namespace {

struct BenchFlags {
  ModelFlags model;
  RuntimeFlags runtime;
  std::optional<std::string> card;
  bool synthetic = false;
  std::optional<std::string> type;
  std::optional<int64_t> layers;
  std::string prompts = "512";
  int64_t decode_tokens = 64;
  std::string depths = "0";
  std::string batches = "1";
  std::optional<std::string> threads;
  int64_t repeats = 5;
  int64_t chunk_tokens = Forward::kDefaultChunkTokens;
  int64_t seed = 1;
  bool as_json = false;
  bool quiet = false;
};

void add_flags(Flags& flags, BenchFlags& options) {
  options.model.add(flags);
  flags.add("--card", options.card, "NAME", "Benchmark a released model by its card instead; see 'glimmer models'")
      .add_switch("--synthetic", options.synthetic,
                  "Generate random weights for the card in memory; nothing is downloaded")
      .add("--type", options.type, "TYPE", "Type of the synthetic weights (default: q4_0)")
      .add("--layers", options.layers, "N", "Only the card's first N layers, at full width")
      .group("Tests")
      .add("-p,--prompt", options.prompts, "N,...", "Prompt lengths to prefill, in tokens (default: 512; 0: skip)")
      .add("-n,--generate", options.decode_tokens, "N",
           "Tokens to generate (default: 64; 0: skip); end-of-sequence tokens are ignored")
      .add("-d,--depth", options.depths, "N,...",
           "Tokens already in the KV cache (default: 0); it is filled with random values, not by prefill")
      .add("-b,--batch", options.batches, "N,...", "Batch sizes for generation (default: 1)")
      .add("--repeats", options.repeats, "N", "Repeats of each test, interleaved with the ceilings (default: 5)")
      .add("--chunk", options.chunk_tokens, "N", "Prompt tokens per forward pass (default: 1024)")
      .add("--seed", options.seed, "N", "Seed of random tokens and weights (default: 1)")
      .add_switch("--json", options.as_json, "Print one JSON object")
      .add_switch("-q,--quiet", options.quiet, "Print nothing but errors on standard error")
      .group("Machine")
      .add("--backend", options.runtime.backend, "NAME",
           "Kernels to use (default: the fastest supported; see inspect --kernels)")
      .add("-t,--threads", options.threads, "N,...", "Thread counts to test in turn (default: all available CPUs)");
  options.runtime.add_precision(flags, Precision::kFast);
  flags.examples(
      "  glimmer bench -m ~/models/GLM-4.7-Flash\n"
      "  glimmer bench --card GLM-4.7-Flash --synthetic --type q4_0 -p 512,2048 -n 64 -d 0,8192 -b 1,8 -t 1,2 --json");
}

std::vector<int64_t> parse_counts(const std::string& text, const std::string& flag, int64_t low, int64_t high) {
  std::vector<int64_t> counts;
  for (const int32_t count : parse_ids(text, flag)) {
    if (count < low || count > high) {
      fail(ErrorCode::kUsage, "{}: {} must be in [{}, {}]", flag, count, low, high);
    }
    counts.push_back(count);
  }
  return counts;
}

int64_t in_range(int64_t value, const char* flag, int64_t low, int64_t high) {
  if (value < low || value > high) fail(ErrorCode::kUsage, "{} is {}, but must be in [{}, {}]", flag, value, low, high);
  return value;
}

BenchOptions bench_options(const BenchFlags& flags) {
  constexpr int64_t kMost = 1 << 20;
  BenchOptions options;
  options.context = flags.runtime.context_options();
  options.prompts = parse_counts(flags.prompts, "--prompt", 0, kMost);
  std::erase(options.prompts, 0);
  options.decode_tokens = in_range(flags.decode_tokens, "--generate", 0, kMost);
  options.depths = parse_counts(flags.depths, "--depth", 0, 1 << 24);
  options.batches = parse_counts(flags.batches, "--batch", 1, 1024);
  const std::string threads = flags.threads.value_or(std::to_string(available_threads()));
  for (const int64_t count : parse_counts(threads, "--threads", 1, 1024)) {
    options.threads.push_back(static_cast<int>(count));
  }
  options.repeats = static_cast<int>(in_range(flags.repeats, "--repeats", 1, 1000));
  options.chunk_tokens = in_range(flags.chunk_tokens, "--chunk", 1, 1 << 16);
  options.seed = static_cast<uint64_t>(in_range(flags.seed, "--seed", 0, std::numeric_limits<int64_t>::max()));
  const bool generates = options.decode_tokens > 0 && !options.depths.empty() && !options.batches.empty();
  if (!generates) options.decode_tokens = 0;
  if (options.threads.empty() || (options.prompts.empty() && !generates)) {
    fail(ErrorCode::kUsage,
         "there is nothing to measure: --prompt, --generate, --depth, --batch or --threads is empty");
  }
  return options;
}

// The model to measure: opened, or to be synthesised.
struct Subject {
  std::string name;
  std::string type;
  ModelConfig config;
  int64_t weights_bytes = 0;  // in memory, before it is there
  std::optional<CardModel> card;
  std::shared_ptr<const ModelSource> source;  // null for a card, until the memory has been looked at
};

int64_t memory_bytes_of(const ModelSource& source, const ModelConfig& config) {
  int64_t bytes = 0;
  for (const SourceTensor& tensor : source.tensors()) {
    const bool used = tensor.data.type != nullptr && tensor.shape.element_count() > 0 && tensor.shape.rank() <= 2 &&
                      tensor.shape.rank() >= 1 &&
                      tensor_role(tensor.name, config.num_hidden_layers) != TensorRole::kMtp;
    if (used) bytes += memory_bytes({tensor.data.type, tensor.data.params}, tensor.shape);
  }
  return bytes;
}

Subject subject_of(const BenchFlags& flags) {
  if (flags.card && flags.model.model) fail(ErrorCode::kUsage, "--model and --card exclude each other");
  Subject subject;
  if (flags.card) {
    const ModelCard& card = require_card(*flags.card);
    if (!flags.synthetic) {
      fail(ErrorCode::kUsage, "a card has no weights: give --synthetic for random ones, or a model with --model");
    }
    const QuantType& type = require_writable_type(flags.type.value_or("q4_0"));
    subject.card = card_model(card, flags.layers);
    subject.name = card.name;
    subject.type = type.name;
    subject.config = subject.card->config;
    subject.weights_bytes = size_in_type(*subject.card, type).memory_bytes;
    return subject;
  }
  if (flags.synthetic || flags.type || flags.layers) {
    fail(ErrorCode::kUsage, "--synthetic, --type and --layers need --card: a model that is there has its own");
  }
  subject.source = ModelSource::open(flags.model.folder_or_file());
  subject.name = subject.source->path().string();
  subject.type = subject.source->quantization();
  subject.config = read_config(side_files_of(*subject.source));
  subject.weights_bytes = memory_bytes_of(*subject.source, subject.config);
  return subject;
}

void check_memory(const Subject& subject, const BenchOptions& options) {
  const int64_t caches = bench_cache_bytes(subject.config, options);
  const int64_t need = subject.weights_bytes + caches + kWorkingBytes;
  const int64_t available = memory_info().available_bytes;
  if (available == 0 || need <= available) return;
  fail(ErrorCode::kLimit,
       "{} in {} needs {} of memory (weights {}, caches {}, {} to work with), and {} are available; try a smaller "
       "--type, fewer --layers, or less --depth and --batch",
       subject.name, subject.type, human_bytes(need), human_bytes(subject.weights_bytes), human_bytes(caches),
       human_bytes(kWorkingBytes), human_bytes(available));
}

Json spread_json(const Spread& spread) { return {{"median", spread.median}, {"min", spread.min}, {"max", spread.max}}; }

Json ceilings_json(const Ceilings& ceilings) {
  return {{"threads", ceilings.threads()},
          {"read_gb_s", spread_json(ceilings.read_gb_s())},
          {"read_streams", ceilings.read_streams()},
          {"bf16_tflop_s", spread_json(ceilings.bf16_tflop_s())},
          {"int8_top_s", spread_json(ceilings.int8_top_s())}};
}

Json result_json(const BenchResult& result) {
  return {
      {"test", result.test.name()},     {"depth", result.test.depth},         {"batch", result.test.batch},
      {"threads", result.test.threads}, {"tok_s", spread_json(result.tok_s)}, {"gb_s", result.gb_s},
      {"tflop_s", result.tflop_s},      {"of_read", result.of_read},          {"of_peak", result.of_peak},
      {"step_gb", result.step_gb},      {"step_gflop", result.step_gflop},    {"experts_per_layer", result.experts}};
}

Json report_json(const Subject& subject, const BenchOptions& options, std::string_view backend,
                 const WeightBytes& weights, const BenchReport& report) {
  // The ceilings of most threads; those of each number of threads stand in by_threads.
  const Ceilings& most =
      *std::max_element(report.ceilings.begin(), report.ceilings.end(),
                        [](const Ceilings& a, const Ceilings& b) { return a.threads() < b.threads(); });
  Json out = {{"machine",
               {{"processor", cpu_features().model_name},
                {"threads", available_threads()},
                {"memory_bytes", memory_info().total_bytes}}},
              {"model", subject.name},
              {"type", subject.type},
              {"layers", subject.config.num_hidden_layers},
              {"synthetic", subject.card.has_value()},
              {"backend", backend},
              {"precision", precision_name(options.context.precision)},
              {"repeats", options.repeats},
              {"ceilings",
               {{"read_gb_s", most.read_gb_s().median},
                {"bf16_tflop_s", most.bf16_tflop_s().median},
                {"int8_top_s", most.int8_top_s().median},
                {"bf16_unit", bf16_unit()},
                {"int8_unit", int8_unit()}}},
              {"weights_bytes", weights.total},
              {"kv_bytes", bench_cache_bytes(subject.config, options)},
              {"peak_rss_bytes", report.peak_rss_bytes}};
  for (const Ceilings& ceilings : report.ceilings) out["ceilings"]["by_threads"].push_back(ceilings_json(ceilings));
  for (const BenchResult& result : report.results) out["results"].push_back(result_json(result));
  return out;
}

std::string report_text(const Subject& subject, const BenchOptions& options, std::string_view backend,
                        const WeightBytes& weights, const BenchReport& report) {
  std::string text = fmt::format("{} {}, {} layers, weights {}; {} kernels, precision {}\n", subject.name, subject.type,
                                 subject.config.num_hidden_layers, human_bytes(weights.total), backend,
                                 precision_name(options.context.precision));
  for (const Ceilings& ceilings : report.ceilings) {
    text += fmt::format(
        "ceilings of {:>3} threads: read {:.1f} GB/s (at best {:.1f}, {} streams), bf16 {:.2f} TFLOP/s "
        "({}), int8 {:.2f} TOP/s ({})\n",
        ceilings.threads(), ceilings.read_gb_s().median, ceilings.read_gb_s().max, ceilings.read_streams(),
        ceilings.bf16_tflop_s().median, bf16_unit(), ceilings.int8_top_s().median, int8_unit());
  }
  text += fmt::format("\n{:<8}{:>7}{:>7}{:>9}{:>10}{:>20}{:>8}{:>9}{:>10}{:>9}\n", "test", "depth", "batch", "threads",
                      "tok/s", "min .. max", "GB/s", "of read", "TFLOP/s", "of peak");
  for (const BenchResult& r : report.results) {
    const std::string range = fmt::format("{:.2f} .. {:.2f}", r.tok_s.min, r.tok_s.max);
    text += fmt::format("{:<8}{:>7}{:>7}{:>9}{:>10.2f}{:>20}{:>8.2f}{:>8.1f}%{:>10.3f}{:>8.1f}%\n", r.test.name(),
                        r.test.depth, r.test.batch, r.test.threads, r.tok_s.median, range, r.gb_s, 100 * r.of_read,
                        r.tflop_s, 100 * r.of_peak);
  }
  return text + fmt::format("\npeak memory {}\n", human_bytes(report.peak_rss_bytes));
}

}  // namespace

int bench_command(Arguments arguments) {
  BenchFlags flags_given;
  Flags flags("bench",
              "Measures prefill (pp) and generation (tg) speed, and how near it is to what this machine can do: memory "
              "bandwidth and peak multiply throughput are measured in the same run.");
  add_flags(flags, flags_given);
  if (!flags.parse(arguments)) return 0;
  BenchOptions options = bench_options(flags_given);
  Subject subject = subject_of(flags_given);
  check_memory(subject, options);

  const InterruptGuard interrupt;
  if (subject.card) {
    subject.source = std::make_shared<SyntheticSource>(
        SyntheticSource::Options{.name = subject.name,
                                 .config_json = card_config_json(*subject.card->card, flags_given.layers),
                                 .type = &require_quant_type(subject.type),
                                 .seed = options.seed},
        subject.card->tensors);
  }
  std::string backend;
  const Model model = [&] {
    Context context(options.context);
    backend = context.device().backend();
    return load_model(std::move(subject.source), context, flags_given.quiet ? LoadReport::kQuiet : LoadReport::kShown,
                      &interrupt);
  }();
  BenchReport report;
  {
    ProgressBar bar("measuring", !flags_given.quiet && stderr_is_terminal());
    options.cancelled = &interrupt.flag();
    options.progress = [&](int64_t done, int64_t total, const std::string& test) { bar.update(done, total, test); };
    report = run_benchmark(model, options);
  }
  const WeightBytes weights = model.weight_bytes();
  write_output(flags_given.as_json ? report_json(subject, options, backend, weights, report).dump(2) + "\n"
                                   : report_text(subject, options, backend, weights, report));
  return 0;
}

}  // namespace glimmer::apps

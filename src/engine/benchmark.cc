#include "engine/benchmark.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <optional>
#include <set>

#include "base/error.h"
#include "base/memory_info.h"
#include "engine/random.h"
#include "model/forward.h"

namespace glimmer {
namespace {

// Counts the experts that each sparse layer's tokens chose.
class ExpertCounter final : public Probe {
 public:
  bool wants(std::string_view what, int64_t /*layer*/) const override { return what == "mlp.topk_indices"; }
  void take(std::string_view /*what*/, int64_t /*layer*/, ConstTensorView value) override {
    const auto* chosen = value.as<int32_t>();
    distinct_ += std::set<int32_t>(chosen, chosen + value.shape.element_count()).size();
    ++layers_;
  }
  double experts_a_layer() const {
    return layers_ == 0 ? 0 : static_cast<double>(distinct_) / static_cast<double>(layers_);
  }

 private:
  size_t distinct_ = 0;
  size_t layers_ = 0;
};

// Random values of realistic size in the KV cache's type. Codes and scales are not told apart here: bytes around 0x38
// are small positive numbers as either.
std::vector<std::byte> random_cache_values(KvType type, uint64_t seed) {
  constexpr size_t kValues = size_t{1} << 18;
  if (type == KvType::kInt8 || type == KvType::kF8E4M3) {
    std::vector<std::byte> codes(kValues);
    for (size_t i = 0; i < kValues; ++i) codes[i] = static_cast<std::byte>(0x38 + random_bits(seed, i) % 4);
    return codes;
  }
  std::vector<std::byte> bytes(kValues * (type == KvType::kF32 ? 4 : 2));
  for (size_t i = 0; i < kValues; ++i) {
    const auto value = static_cast<float>(random_unit(seed, i) * 2 - 1);
    uint32_t bits = 0;
    std::memcpy(&bits, &value, sizeof bits);
    const auto upper = static_cast<uint16_t>(bits >> 16);
    if (type == KvType::kF32) {
      std::memcpy(bytes.data() + i * 4, &bits, 4);
    } else {
      std::memcpy(bytes.data() + i * 2, &upper, 2);
    }
  }
  return bytes;
}

// A page of such values.
std::vector<std::byte> random_page(const KvPool& pool, uint64_t seed) {
  const std::vector<std::byte> values = random_cache_values(pool.layout().type, seed);
  std::vector<std::byte> page(static_cast<size_t>(pool.page_bytes()));
  for (size_t done = 0; done < page.size(); done += values.size()) {
    std::memcpy(page.data() + done, values.data(), std::min(values.size(), page.size() - done));
  }
  return page;
}

// Fills the cache with `tokens` tokens, each page with the content of `page`.
void fill_cache(KvCache& kv, KvPool& pool, int64_t tokens, const std::vector<std::byte>& page) {
  kv.reserve(tokens);
  for (const PageId id : kv.page_ids()) pool.write(id, page);
  kv.append(tokens - kv.size_tokens());
}

int64_t pages_of(int64_t tokens) { return (tokens + KvPool::kPageTokens - 1) / KvPool::kPageTokens; }

int64_t largest(const std::vector<int64_t>& values) {
  return values.empty() ? 0 : *std::max_element(values.begin(), values.end());
}

struct Needs {
  int64_t caches = 1;
  int64_t tokens = 0;  // in the first cache
  int64_t filled = 0;  // in the others, before steps
};

Needs needs_of(const BenchOptions& options) {
  Needs needs;
  if (options.decode_tokens > 0) {
    needs.caches = std::max<int64_t>(1, largest(options.batches));
    needs.filled = largest(options.depths);
  }
  needs.tokens = std::max(largest(options.prompts), needs.filled + options.decode_tokens);
  return needs;
}

std::vector<BenchTest> tests_of(const BenchOptions& options, int threads) {
  std::vector<BenchTest> tests;
  for (const int64_t prompt : options.prompts) tests.push_back({.threads = threads, .prompt = prompt});
  if (options.decode_tokens == 0) return tests;
  for (const int64_t depth : options.depths) {
    for (const int64_t batch : options.batches) {
      tests.push_back({.threads = threads, .steps = options.decode_tokens, .depth = depth, .batch = batch});
    }
  }
  return tests;
}

class BenchRunner {
 public:
  BenchRunner(const Model& model, const BenchOptions& options)
      : model_(model),
        options_(options),
        work_(workload_of(model.config(), model.weight_bytes(), options.context.kept_kv_type())) {
    const Needs needs = needs_of(options);
    const KvType type = options.context.kept_kv_type();
    const int64_t decoded = needs.filled + options.decode_tokens;
    const auto pool =
        std::make_shared<KvPool>(model.config(), type, pages_of(needs.tokens) + (needs.caches - 1) * pages_of(decoded));
    const std::vector<std::byte> page = random_page(*pool, options.seed);
    for (int64_t i = 0; i < needs.caches; ++i) {
      check_cancelled();
      KvCache& kv = caches_.emplace_back(pool);
      fill_cache(kv, *pool, needs.filled, page);
      kv.reserve(i == 0 ? needs.tokens : decoded);
    }
  }

  BenchReport run() {
    total_ = static_cast<int64_t>(options_.threads.size()) * options_.repeats *
             static_cast<int64_t>(tests_of(options_, 1).size());
    for (const int threads : options_.threads) run_with(threads);
    report_.peak_rss_bytes = peak_.bytes();
    return std::move(report_);
  }

 private:
  void run_with(int threads) {
    Context::Options context_options = options_.context;
    context_options.threads = threads;
    Context context(context_options);
    context.set_cancelled(options_.cancelled);
    Forward forward(model_, context, std::max(options_.chunk_tokens, largest(options_.batches)));
    const std::vector<BenchTest> tests = tests_of(options_, threads);
    std::vector<std::vector<double>> tok_s(tests.size());
    std::vector<double> experts;
    peak_.pause();
    Ceilings ceilings(threads);
    peak_.resume(ceilings.memory_bytes());
    for (const BenchTest& test : tests) experts.push_back(warm_up(forward, context, test));
    for (int repeat = 0; repeat < options_.repeats; ++repeat) {
      ceilings.sample();
      for (size_t i = 0; i < tests.size(); ++i) {
        if (options_.progress) options_.progress(done_, total_, tests[i].name());
        tok_s[i].push_back(measure(forward, tests[i]));
        ++done_;
      }
    }
    peak_.pause();
    ceilings.release_memory();
    peak_.resume();
    for (size_t i = 0; i < tests.size(); ++i) {
      report_.results.push_back(result_of(tests[i], spread_of(tok_s[i]), experts[i], ceilings));
    }
    report_.ceilings.push_back(std::move(ceilings));
  }

  void check_cancelled() const {
    if (options_.cancelled != nullptr && options_.cancelled->load(std::memory_order_relaxed)) {
      fail(ErrorCode::kCancelled, "interrupted");
    }
  }

  int32_t random_token() {
    const auto vocab = static_cast<uint64_t>(model_.config().vocab_size);
    return static_cast<int32_t>(random_bits(options_.seed, drawn_++) % vocab);
  }

  // Warms up what the test will use, and counts the experts that a step chooses.
  double warm_up(Forward& forward, Context& context, const BenchTest& test) {
    if (test.prompt > 0) {
      read_prompt(forward, std::min(test.prompt, forward.chunk_tokens()));
      return expected_experts(work_, std::min(test.prompt, forward.chunk_tokens()));
    }
    ExpertCounter counter;
    context.set_probe(&counter);
    generate(forward, test.batch, test.depth, 1);
    context.set_probe(nullptr);
    generate(forward, test.batch, test.depth, 1);
    return counter.experts_a_layer();
  }

  double measure(Forward& forward, const BenchTest& test) {
    const auto start = std::chrono::steady_clock::now();
    if (test.prompt > 0) {
      read_prompt(forward, test.prompt);
    } else {
      generate(forward, test.batch, test.depth, test.steps);
    }
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    const int64_t tokens = test.prompt > 0 ? test.prompt : test.steps * test.batch;
    return static_cast<double>(tokens) / seconds.count();
  }

  void read_prompt(Forward& forward, int64_t count) {
    std::vector<int32_t> tokens(static_cast<size_t>(count));
    std::generate(tokens.begin(), tokens.end(), [&] { return random_token(); });
    caches_[0].truncate(0);
    for (int64_t at = 0; at < count; at += forward.chunk_tokens()) {
      check_cancelled();
      const int64_t chunk = std::min(forward.chunk_tokens(), count - at);
      const SequenceTokens sequence{
          .tokens = std::span<const int32_t>(tokens).subspan(static_cast<size_t>(at), static_cast<size_t>(chunk)),
          .kv = &caches_[0],
          .logits_rows = at + chunk == count ? 1 : 0};
      forward.run({&sequence, 1});
      forward.logits();
    }
  }

  // No id ends a sequence: every step takes another random one.
  void generate(Forward& forward, int64_t batch, int64_t depth, int64_t steps) {
    std::vector<int32_t> tokens(static_cast<size_t>(batch));
    std::vector<SequenceTokens> sequences(static_cast<size_t>(batch));
    for (size_t i = 0; i < sequences.size(); ++i) {
      caches_[i].truncate(0);
      caches_[i].append(depth);  // holds values from the fill or from earlier tests
      sequences[i] = {.tokens = {&tokens[i], 1}, .kv = &caches_[i]};
    }
    for (int64_t step = 0; step < steps; ++step) {
      check_cancelled();
      for (int32_t& token : tokens) token = random_token();
      forward.run(sequences);
      forward.logits();
    }
  }

  BenchResult result_of(const BenchTest& test, Spread tok_s, double experts, const Ceilings& ceilings) const {
    BenchResult result{.test = test, .tok_s = tok_s, .experts = experts};
    double steps_a_second = 0;
    if (test.prompt > 0) {
      const int64_t chunk = std::max(options_.chunk_tokens, largest(options_.batches));
      const int64_t chunks = (test.prompt + chunk - 1) / chunk;
      // Each chunk reads the weights, and the cache as it is by then.
      const int64_t keys = test.prompt * (chunks + 1) / 2 / chunks;
      result.step_gb = step_bytes(work_, experts, keys) * 1e-9;
      result.step_gflop = step_flop(work_, 0, test.prompt, 1) / static_cast<double>(chunks) * 1e-9;
      steps_a_second = tok_s.median * static_cast<double>(chunks) / static_cast<double>(test.prompt);
    } else {
      const int64_t keys = test.depth + (test.steps + 1) / 2;
      result.step_gb = step_bytes(work_, experts, keys * test.batch) * 1e-9;
      result.step_gflop = step_flop(work_, keys - 1, 1, 1) * static_cast<double>(test.batch) * 1e-9;
      steps_a_second = tok_s.median / static_cast<double>(test.batch);
    }
    result.gb_s = result.step_gb * steps_a_second;
    result.tflop_s = result.step_gflop * steps_a_second * 1e-3;
    result.of_read = result.gb_s / ceilings.read_gb_s().median;
    result.of_peak = result.tflop_s / ceilings.bf16_tflop_s().median;
    return result;
  }

  const Model& model_;
  const BenchOptions& options_;
  Workload work_;
  std::vector<KvCache> caches_;
  PeakMemory peak_;
  BenchReport report_;
  uint64_t drawn_ = 0;
  int64_t done_ = 0;
  int64_t total_ = 0;
};

}  // namespace

std::string BenchTest::name() const { return prompt > 0 ? fmt::format("pp{}", prompt) : fmt::format("tg{}", steps); }

int64_t bench_cache_bytes(const ModelConfig& config, const BenchOptions& options) {
  const Needs needs = needs_of(options);
  const auto blocks = [](int64_t tokens) { return (tokens + kernels::kAttentionBlock - 1) / kernels::kAttentionBlock; };
  const int64_t all = blocks(needs.tokens) + (needs.caches - 1) * blocks(needs.filled + options.decode_tokens);
  return all * kernels::kAttentionBlock * KvCache::bytes_per_token(config, options.context.kept_kv_type());
}

BenchReport run_benchmark(const Model& model, const BenchOptions& options) {
  const int64_t longest = needs_of(options).tokens;
  if (longest > model.config().max_position_embeddings) {
    fail(ErrorCode::kUsage,
         "the tests need a context of {} tokens, the model's holds {} (max_position_embeddings in {})", longest,
         model.config().max_position_embeddings, model.config().source);
  }
  return BenchRunner(model, options).run();
}

}  // namespace glimmer

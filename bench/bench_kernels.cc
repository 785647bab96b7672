// Each operation of each kernel table, in the shapes of GLM-4.7-Flash: first held to the reference, then timed.
//   us      a call, the best of several rounds
//   GB/s    of the bytes that it must read
//   GFLOP/s of its multiplications and additions
//   roof    what part of the time the machine needs at least: those bytes at the read ceiling, or those operations at
//           the ceiling of the unit that multiplies, whichever is longer; ceilings are measured in the same run
// Weights of a product come from memory: there are more of them than the caches hold.
// bench_kernels [threads [table [part of an operation's or a type's name]]]
#include <fmt/format.h>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "engine/ceilings.h"
#include "ops/attention.h"
#include "ops/cpu/device.h"
#include "ops/linear.h"
#include "tensor/weight_matrix.h"

namespace glimmer {
namespace {

struct NamedLayout {
  const char* name;  // a type that is read in this layout
  WeightLayout layout;
};

constexpr float kTable[16] = {0, 0.5F, 1, 1.5F, 2, 3, 4, 6, -0.0F, -0.5F, -1, -1.5F, -2, -3, -4, -6};

using enum WeightCodes;
constexpr WeightOffsets kStored = WeightOffsets::kStored;
constexpr NamedLayout kLayouts[] = {
    {"bf16", {.codes = kBF16}},
    {"f16", {.codes = kF16}},
    {"f32", {.codes = kF32}},
    {"q8_0", {.codes = kU8, .scales = WeightScales::kF16, .group = 32, .zero_point = 128}},
    {"fp8 128", {.codes = kF8E4M3, .scales = WeightScales::kF32, .group = 128}},
    {"q6_k", {.codes = kU6, .scales = WeightScales::kSuperI8, .group = 16, .zero_point = 32}},
    {"q5_k", {.codes = kU5, .scales = WeightScales::kSuperU8, .offsets = kStored, .group = 32}},
    {"q5_0", {.codes = kU5, .scales = WeightScales::kF16, .group = 32, .zero_point = 16}},
    {"q4_k", {.codes = kU4, .scales = WeightScales::kSuperU8, .offsets = kStored, .group = 32}},
    {"q4_0", {.codes = kU4, .scales = WeightScales::kF16, .group = 32, .zero_point = 8}},
    {"q4_1", {.codes = kU4, .scales = WeightScales::kF16, .offsets = kStored, .group = 32}},
    {"mlx 4 64", {.codes = kU4, .scales = WeightScales::kBF16, .offsets = kStored, .group = 64}},
    {"gptq 4 128", {.codes = kU4, .scales = WeightScales::kF16, .offsets = WeightOffsets::kCode8, .group = 128}},
    {"iq4_nl", {.codes = kTable4, .scales = WeightScales::kF16, .group = 32, .table = kTable}},
    {"mxfp4", {.codes = kTable4, .scales = WeightScales::kE8M0, .group = 32, .table = kTable}},
    {"nvfp4", {.codes = kTable4, .scales = WeightScales::kF8E4M3, .group = 16, .table = kTable}},
    {"q3_k", {.codes = kU3, .scales = WeightScales::kSuperI8, .group = 16, .zero_point = 4}},
    {"q2_k", {.codes = kU2, .scales = WeightScales::kSuperU4, .offsets = kStored, .group = 16}},
};

// gate_proj of an expert.
constexpr int64_t kRows = 1536;
constexpr int64_t kColumns = 2048;
constexpr int64_t kTokens[] = {1, 8, 32, 512};
constexpr int64_t kPoolBytes = int64_t{768} << 20;  // beyond most caches

struct Roof {
  double read_gb_s = 0;
  double bf16_gflop_s = 0;
  double int8_gflop_s = 0;
};

// Seconds a call, the best of several rounds.
double best_seconds(const std::function<void()>& run, int rounds) {
  double best = 1e30;
  for (int i = 0; i < rounds; ++i) {
    const auto start = std::chrono::steady_clock::now();
    run();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

void print_line(const std::string& what, double seconds, double bytes, double operations, double roof_gb_s,
                double roof_gflop_s) {
  const double least = std::max(bytes / roof_gb_s, operations / roof_gflop_s) * 1e-9;
  fmt::print("  {:<34} {:10.1f} us {:7.1f} GB/s {:9.1f} GFLOP/s  {:5.1f} % of roof\n", what, seconds * 1e6,
             bytes / seconds * 1e-9, operations / seconds * 1e-9, 100 * least / seconds);
}

// Products: matrices one after the other in memory of plausible bytes.
class LinearBench {
 public:
  LinearBench(Context& ctx, const Buffer& pool, const NamedLayout& named, const Roof& roof)
      : ctx_(ctx), named_(named), roof_(roof), matrix_(weight_matrix_of(named.layout, kRows, kColumns)), pool_(pool) {
    x_.resize(static_cast<size_t>(kTokens[std::size(kTokens) - 1] * kColumns));
    // Around 0.5, or the sums, of weights that are nearly alike, would cancel to what rounding leaves.
    for (size_t i = 0; i < x_.size(); ++i) x_[i] = 0.5F + std::sin(static_cast<float>(i));
  }

  // Throws nothing: says what differs, and whether all is well.
  bool equals_reference() {
    Context reference({.backend = "ref", .threads = ctx_.pool().threads()});
    constexpr int64_t kFew = 3;
    std::vector<float> got(kFew * kRows);
    std::vector<float> want(kFew * kRows);
    run(ctx_, 0, kFew, got.data());
    const auto type = cpu::Pass(ctx_).activation_type(named_.layout);
    if (type == cpu::Pass(reference).activation_type(named_.layout) && type == kernels::ActivationType::kInt8) {
      run(reference, 0, kFew, want.data());
      if (std::memcmp(got.data(), want.data(), got.size() * sizeof(float)) == 0) return true;
    } else {
      Context exact({.backend = "ref", .threads = ctx_.pool().threads(), .precision = Precision::kExact});
      run(exact, 0, kFew, want.data());
      const double most = std::abs(
          *std::max_element(want.begin(), want.end(), [](float a, float b) { return std::abs(a) < std::abs(b); }));
      double worst = 0;
      for (size_t i = 0; i < got.size(); ++i) worst = std::max<double>(worst, std::abs(got[i] - want[i]));
      if (worst <= (type == kernels::ActivationType::kF32 ? 1e-5 : 1e-2) * most) return true;
    }
    fmt::print("  linear {}: differs from ref\n", named_.name);
    return false;
  }

  void time(int64_t tokens) {
    const int64_t count = kPoolBytes / size_bytes(matrix_);
    const int64_t at_once = std::min<int64_t>(count, tokens < 100 ? count : 8);
    std::vector<float> y(static_cast<size_t>(tokens * kRows));
    const double seconds = best_seconds(
                               [&] {
                                 for (int64_t i = 0; i < at_once; ++i) run(ctx_, i, tokens, y.data());
                               },
                               3) /
                           static_cast<double>(at_once);
    const bool int8 = cpu::Pass(ctx_).activation_type(named_.layout) == kernels::ActivationType::kInt8;
    print_line(fmt::format("linear {} T={}", named_.name, tokens), seconds, static_cast<double>(size_bytes(matrix_)),
               2.0 * static_cast<double>(kRows * kColumns * tokens), roof_.read_gb_s,
               int8 ? roof_.int8_gflop_s : roof_.bf16_gflop_s);
  }

 private:
  void run(Context& ctx, int64_t number, int64_t tokens, float* y) {
    LinearWeight weight{.weight = matrix_};
    weight.weight.data = pool_.as<std::byte>() + number * size_bytes(matrix_);
    linear(ctx, {{.weight = &weight, .x = x_.data(), .y = y, .tokens = tokens}});
  }

  Context& ctx_;
  const NamedLayout& named_;
  const Roof& roof_;
  WeightMatrix matrix_;
  const Buffer& pool_;
  std::vector<float> x_;
};

// Attention as multi-head latent attention runs it: 20 heads, one key head of 576 values, values its first 512.
class AttentionBench {
 public:
  static constexpr int64_t kHeads = 20;
  static constexpr int64_t kQk = 576;
  static constexpr int64_t kV = 512;

  AttentionBench(Context& ctx, int64_t past_tokens, int64_t tokens)
      : ctx_(ctx),
        past_(past_tokens),
        tokens_(tokens),
        pages_((past_ + tokens_ + kernels::kAttentionBlock - 1) / kernels::kAttentionBlock),
        memory_({.type = ctx.kv_type(), .kv_heads = 1, .qk_dim = kQk, .v_dim = kV, .values_in_keys = true}, 1, pages_) {
    for (PageId page = 0; page < pages_; ++page) {
      memory_.provide(page);
      ids_.push_back(page);
    }
    std::vector<float> keys(static_cast<size_t>((past_ + tokens_) * kQk));
    for (size_t i = 0; i < keys.size(); ++i) keys[i] = std::sin(static_cast<float>(i) * 1.7F);
    Batch all;
    all.sequences.push_back({.tokens = past_ + tokens_, .pages = ids_});
    store_kv(ctx_, {.k = keys.data(), .k_stride = kQk, .batch = &all, .kv = memory_.layer(0)});
    batch_.sequences.push_back({.tokens = tokens_, .past_tokens = past_, .pages = ids_});
    q_.resize(static_cast<size_t>(tokens_ * kHeads * kQk));
    for (size_t i = 0; i < q_.size(); ++i) q_[i] = std::cos(static_cast<float>(i) * 0.3F);
    out_.resize(static_cast<size_t>(tokens_ * kHeads * kV));
  }

  const std::vector<float>& run() {
    attention(ctx_, {.q = q_.data(),
                     .q_token_stride = kHeads * kQk,
                     .q_head_stride = kQk,
                     .out = out_.data(),
                     .out_token_stride = kHeads * kV,
                     .out_head_stride = kV,
                     .heads = kHeads,
                     .scale = 1.0F / 16,
                     .batch = &batch_,
                     .kv = memory_.layer(0)});
    return out_;
  }

  void time(const Roof& roof) {
    const double seconds = best_seconds([&] { run(); }, 5);
    const double pairs = static_cast<double>(tokens_ * past_) + 0.5 * static_cast<double>(tokens_ * (tokens_ + 1));
    print_line(fmt::format("attention {} after {}", tokens_, past_), seconds,
               static_cast<double>((past_ + tokens_) * kQk * memory_.layout().value_bytes()),
               2.0 * pairs * kHeads * (kQk + kV), roof.read_gb_s, roof.bf16_gflop_s);
  }

 private:
  Context& ctx_;
  int64_t past_;
  int64_t tokens_;
  int64_t pages_;
  KvMemory memory_;
  std::vector<PageId> ids_;
  Batch batch_;
  std::vector<float> q_;
  std::vector<float> out_;
};

bool attention_equals_reference(Context& ctx) {
  Context reference({.backend = "ref", .threads = ctx.pool().threads()});
  AttentionBench mine(ctx, 300, 5);
  AttentionBench definition(reference, 300, 5);
  const std::vector<float>& got = mine.run();
  const std::vector<float>& want = definition.run();
  for (size_t i = 0; i < got.size(); ++i) {
    if (std::abs(got[i] - want[i]) <= 2e-2F) continue;
    fmt::print("  attention: differs from ref at {}: {} for {}\n", i, got[i], want[i]);
    return false;
  }
  return true;
}

bool bench_table(const kernels::KernelTable& table, int threads, const Buffer& pool, const Roof& roof,
                 const std::string& only) {
  Context ctx({.backend = std::string(table.name), .threads = threads});
  fmt::print("{} on {} threads, [{}, {}]; ceilings: read {:.1f} GB/s, bf16 {:.0f}, int8 {:.0f} GFLOP/s\n", table.name,
             threads, kRows, kColumns, roof.read_gb_s, roof.bf16_gflop_s, roof.int8_gflop_s);
  bool good = true;
  const auto wanted = [&](const std::string& name) { return only.empty() || name.find(only) != std::string::npos; };
  for (const NamedLayout& named : kLayouts) {
    if (!wanted(fmt::format("linear {}", named.name))) continue;
    LinearBench bench(ctx, pool, named, roof);
    good = bench.equals_reference() && good;
    for (const int64_t tokens : kTokens) bench.time(tokens);
  }
  if (wanted("attention")) {
    good = attention_equals_reference(ctx) && good;
    AttentionBench(ctx, 8192, 1).time(roof);
    AttentionBench(ctx, 1536, 512).time(roof);
  }
  return good;
}

}  // namespace
}  // namespace glimmer

int main(int argc, char** argv) {
  using namespace glimmer;
  const int threads = argc > 1 ? std::atoi(argv[1]) : available_threads();
  const std::string only_table = argc > 2 ? argv[2] : "";
  const std::string only = argc > 3 ? argv[3] : "";
  if (threads < 1) {
    fmt::print(stderr, "bench_kernels: threads: expected a number above 0, found '{}'\n", argv[1]);
    return 2;
  }
  if (!only_table.empty()) kernels::table_by_name(only_table);  // or says which there are
  Ceilings ceilings(threads);
  ceilings.sample();
  ceilings.release_memory();
  const Roof roof{ceilings.read_gb_s().max, ceilings.bf16_tflop_s().max * 1e3, ceilings.int8_top_s().max * 1e3};
  const Buffer pool(kPoolBytes);
  // As codes and as scales of any kind these bytes are numbers of moderate size.
  auto* bytes = const_cast<uint8_t*>(pool.as<uint8_t>());
  for (int64_t i = 0; i < kPoolBytes; ++i) bytes[i] = static_cast<uint8_t>(0x34 + i * 7 % 9);
  bool good = true;
  for (const kernels::KernelTable* table : kernels::all_tables()) {
    const bool wanted = only_table.empty() ? table->name != "ref" : table->name == only_table;
    if (table->supported() && wanted) good = bench_table(*table, threads, pool, roof, only) && good;
  }
  return good ? 0 : 1;
}

// How fast each kernel table multiplies by weights of each layout, beside what this machine's memory can deliver.
//   decode   one token: time a weight, and bytes of weights read a second, as a part of the read ceiling measured in
//   the
//            same run. Weights come from memory: the matrices are more than the caches hold.
//   prefill  a chunk of tokens: multiply-adds a second
// One thread is measured in processor time, which other programs change less.
// bench_kernels [threads [table [name of a layout]]]
#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <string>

#include "ops/linear.h"

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

// gate_proj of an expert of GLM-4.7-Flash.
constexpr int64_t kRows = 1536;
constexpr int64_t kColumns = 2048;
constexpr int64_t kChunk = 512;

bool processor_time = false;

double now_s() {
  timespec time;
  clock_gettime(processor_time ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

// Seconds a call, the best of several rounds.
double best_seconds(const std::function<void()>& run, int rounds) {
  double best = 1e30;
  for (int i = 0; i < rounds; ++i) {
    const double start = now_s();
    run();
    best = std::min(best, now_s() - start);
  }
  return best;
}

constexpr int64_t kPoolBytes = int64_t{768} << 20;  // beyond every cache

// The rate at which all threads together read memory.
double read_ceiling_gb_per_s(Context& ctx, const Buffer& pool) {
  constexpr int64_t kPart = int64_t{1} << 20;
  const double seconds = best_seconds(
      [&] {
        ctx.pool().parallel_for(kPoolBytes / kPart, 1, [&](int64_t part, int64_t, int) {
          const uint64_t* words = pool.as<uint64_t>() + part * kPart / 8;
          uint64_t sums[8] = {};
          constexpr int64_t kStream = kPart / 8 / 8;  // eight at once, as the kernels read eight rows
          for (int64_t i = 0; i < kStream; i += 8) {
            for (int64_t stream = 0; stream < 8; ++stream) {
              const uint64_t* line = words + stream * kStream + i;
              for (int64_t lane = 0; lane < 8; ++lane) sums[lane] += line[lane];
            }
          }
          volatile uint64_t sink = sums[0] ^ sums[1] ^ sums[2] ^ sums[3] ^ sums[4] ^ sums[5] ^ sums[6] ^ sums[7];
          (void)sink;
        });
      },
      7);
  return static_cast<double>(kPoolBytes) / seconds * 1e-9;
}

void bench_layout(Context& ctx, const Buffer& pool, const NamedLayout& named, double ceiling) {
  const WeightLayout& layout = named.layout;
  const int64_t code_row_bytes = weight_code_row_bytes(layout, kColumns);
  const int64_t scale_row_bytes = weight_scale_row_bytes(layout, kColumns);
  const int64_t matrix_bytes = kRows * (code_row_bytes + scale_row_bytes);
  const int64_t matrices = kPoolBytes / matrix_bytes;
  const auto matrix_at = [&](int64_t i) {
    const std::byte* codes = pool.as<std::byte>() + i * matrix_bytes;
    return LinearWeight{.weight = {.layout = layout,
                                   .rows = kRows,
                                   .columns = kColumns,
                                   .code_data = codes,
                                   .code_row_bytes = code_row_bytes,
                                   .scale_data = scale_row_bytes == 0 ? nullptr : codes + kRows * code_row_bytes,
                                   .scale_row_bytes = scale_row_bytes}};
  };
  Tensor x(DType::kF32, {kChunk, kColumns});
  std::fill_n(x.as<float>(), kChunk * kColumns, 0.5F);
  Tensor y(DType::kF32, {kChunk, kRows});
  const auto multiply = [&](int64_t i, int64_t tokens) {
    const LinearWeight weight = matrix_at(i);
    linear(ctx, {{.weight = &weight, .x = x.as<float>(), .y = y.as<float>(), .tokens = tokens}});
  };
  const double decode = best_seconds(
      [&] {
        for (int64_t i = 0; i < matrices; ++i) multiply(i, 1);
      },
      3);
  const double prefill = best_seconds([&] { multiply(0, kChunk); }, 5);
  const auto weights = static_cast<double>(kRows * kColumns);
  const double gb_per_s = static_cast<double>(matrices * matrix_bytes) / decode * 1e-9;
  fmt::print("  {:<11} {:5.2f} bits   decode {:6.1f} ps a weight {:6.1f} GB/s ({:3.0f} %)   prefill {:7.1f} GFLOP/s\n",
             named.name, static_cast<double>(matrix_bytes) * 8 / weights,
             decode * 1e12 / (weights * static_cast<double>(matrices)), gb_per_s, 100 * gb_per_s / ceiling,
             2 * weights * kChunk / prefill * 1e-9);
}

void bench_table(const kernels::KernelTable& table, int threads, const std::string& only) {
  Context ctx({.backend = std::string(table.name), .threads = threads});
  Buffer pool(kPoolBytes);
  // As scales of any kind these bytes are numbers of moderate size.
  for (int64_t i = 0; i < kPoolBytes; ++i) pool.as<uint8_t>()[i] = static_cast<uint8_t>(0x34 + i * 7 % 9);
  const double ceiling = read_ceiling_gb_per_s(ctx, pool);
  fmt::print("{} on {} threads, [{}, {}], {} tokens; memory read ceiling {:.1f} GB/s\n", table.name, threads, kRows,
             kColumns, kChunk, ceiling);
  for (const NamedLayout& named : kLayouts) {
    if (only.empty() || named.name == only) bench_layout(ctx, pool, named, ceiling);
  }
}

}  // namespace
}  // namespace glimmer

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : glimmer::available_threads();
  glimmer::processor_time = threads == 1;
  const std::string only_table = argc > 2 ? argv[2] : "";
  const std::string only_layout = argc > 3 ? argv[3] : "";
  for (const glimmer::kernels::KernelTable* table : glimmer::kernels::all_tables()) {
    const bool wanted = only_table.empty() ? table->name != "ref" : table->name == only_table;
    if (table->supported() && wanted) glimmer::bench_table(*table, threads, only_layout);
  }
}

// How fast each kernel table multiplies by GLM-4.7-Flash's matrices, beside what this machine's memory can deliver.
//   decode   one token: bytes of weights read a second, as a part of the read ceiling measured in the same run
//   prefill  a chunk of tokens: multiply-adds a second
#include <fmt/format.h>

#include <chrono>
#include <functional>

#include "ops/linear.h"

namespace glimmer {
namespace {

struct MatrixShape {
  const char* name;
  int64_t out;
  int64_t in;
};

constexpr MatrixShape kShapes[] = {
    {"expert gate_proj", 1536, 2048},
    {"expert down_proj", 2048, 1536},
    {"q_b_proj", 5120, 768},
    {"dense gate_proj", 10240, 2048},
};

// Seconds a call, the best of several rounds.
double best_seconds(const std::function<void()>& run, int rounds = 7) {
  double best = 1e30;
  for (int i = 0; i < rounds; ++i) {
    const auto start = std::chrono::steady_clock::now();
    run();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

constexpr size_t kPoolBytes = size_t{768} << 20;  // beyond every cache

// The rate at which all threads together read memory in sequence.
double read_ceiling_gb_per_s(Context& ctx, const Buffer& pool) {
  constexpr int64_t kPart = int64_t{1} << 20;
  const double seconds = best_seconds([&] {
    ctx.pool().parallel_for(kPoolBytes / kPart, 1, [&](int64_t part, int64_t, int) {
      const uint64_t* words = pool.as<uint64_t>() + part * kPart / 8;
      uint64_t sums[8] = {};
      for (int64_t i = 0; i < kPart / 8; i += 8) {
        for (int64_t lane = 0; lane < 8; ++lane) sums[lane] += words[i + lane];
      }
      volatile uint64_t sink = sums[0] ^ sums[1] ^ sums[2] ^ sums[3] ^ sums[4] ^ sums[5] ^ sums[6] ^ sums[7];
      (void)sink;
    });
  });
  return kPoolBytes / seconds * 1e-9;
}

void bench_table(const kernels::KernelTable& table, int threads) {
  Context ctx({.backend = std::string(table.name), .threads = threads});
  Buffer pool(kPoolBytes);
  for (size_t i = 0; i < kPoolBytes / 2; ++i)
    pool.as<uint16_t>()[i] = f32_to_bf16(static_cast<float>(i % 251) * 0.01F - 1);
  const double ceiling = read_ceiling_gb_per_s(ctx, pool);
  fmt::print("{} on {} threads; memory read ceiling {:.1f} GB/s\n", table.name, threads, ceiling);
  constexpr int64_t kChunk = 256;
  for (const MatrixShape& shape : kShapes) {
    const Tensor x = [&] {
      Tensor filled(DType::kF32, {kChunk, shape.in});
      std::fill_n(filled.as<float>(), kChunk * shape.in, 0.5F);
      return filled;
    }();
    Tensor y(DType::kF32, {kChunk, shape.out});
    const int64_t matrix_bytes = shape.out * shape.in * 2;
    const auto copies = static_cast<int64_t>(kPoolBytes) / matrix_bytes;
    const auto weight_at = [&](int64_t copy) {
      return LinearWeight{.weight = float_weight_matrix(WeightCodes::kBF16, pool.as<std::byte>() + copy * matrix_bytes,
                                                        shape.out, shape.in)};
    };
    const double decode = best_seconds(
        [&] {
          for (int64_t copy = 0; copy < copies; ++copy) {
            const LinearWeight weight = weight_at(copy);
            linear(ctx, {{.weight = &weight, .x = x.as<float>(), .y = y.as<float>(), .tokens = 1}});
          }
        },
        3);
    const double prefill = best_seconds([&] {
      const LinearWeight weight = weight_at(0);
      linear(ctx, {{.weight = &weight, .x = x.as<float>(), .y = y.as<float>(), .tokens = kChunk}});
    });
    const double gb_per_s = static_cast<double>(copies * matrix_bytes) / decode * 1e-9;
    const double gflops = 2.0 * static_cast<double>(shape.out * shape.in * kChunk) / prefill * 1e-9;
    fmt::print("  {:<18} [{:>5}, {:>4}] bf16   decode {:6.1f} GB/s ({:3.0f} % of ceiling)   prefill {:7.1f} GFLOP/s\n",
               shape.name, shape.out, shape.in, gb_per_s, 100 * gb_per_s / ceiling, gflops);
  }
}

}  // namespace
}  // namespace glimmer

int main() {
  for (const glimmer::kernels::KernelTable* table : glimmer::kernels::all_tables()) {
    if (table->supported() && table->name != "ref") glimmer::bench_table(*table, glimmer::available_threads());
  }
}

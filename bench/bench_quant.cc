// How fast one thread encodes, decodes and repacks the types that are one tensor: bench_quant [TYPE...]
// MB/s are of f32 values; the rows are normally distributed, 64 x 4096. Processor time, the best of five.
#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "base/error.h"
#include "quant/quant_type.h"

namespace glimmer {
namespace {

constexpr int64_t kRows = 64, kColumns = 4096;
constexpr double kMegabytes = kRows * kColumns * sizeof(float) / 1e6;

// Processor time of this thread, so that a busy machine does not count.
double cpu_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

double megabytes_per_s(const std::function<void()>& run) {
  double best = 1e30;
  for (int round = 0; round < 5; ++round) {
    const double start = cpu_seconds();
    run();
    best = std::min(best, cpu_seconds() - start);
  }
  return kMegabytes / best;
}

std::vector<float> random_values(int64_t count, float deviation) {
  std::mt19937_64 random(1);
  std::normal_distribution<float> normal(0, deviation);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = normal(random);
  return values;
}

void measure(const QuantType& type) {
  const std::vector<float> values = random_values(kRows * kColumns, 0.02F);
  std::vector<float> importance = random_values(kColumns, 1);
  for (float& value : importance) value *= value;
  const QuantPart part = type.parts({}, kRows, kColumns)[0];
  std::vector<std::byte> stored(dtype_bytes(part.dtype, kRows * kColumns));
  std::byte* const out = stored.data();
  const auto encode = [&](const float* weights) {
    return megabytes_per_s([&] { type.encode({}, values.data(), kRows, kColumns, weights, std::span(&out, 1)); });
  };
  const double weighted = encode(importance.data());
  const double plain = encode(nullptr);

  EncodedMatrix matrix{.type = &type, .rows = kRows, .columns = kColumns, .stored_rows = kRows};
  matrix.parts[0] = stored;
  std::vector<float> decoded(values.size());
  const double decode = megabytes_per_s([&] { decode_rows(matrix, 0, kRows, decoded.data()); });
  const WeightMatrix panels = weight_matrix_of(type.layout({}, kColumns), kRows, kColumns);
  std::vector<std::byte> packed(static_cast<size_t>(size_bytes(panels)));
  const double repack = megabytes_per_s([&] { repack_panels(matrix, panels, 0, panel_count(panels), packed.data()); });
  fmt::print(
      "{:8} {:6.2f} bits   encode {:7.0f} MB/s   with importance {:7.0f} MB/s   decode {:7.0f} MB/s   repack {:7.0f} "
      "MB/s\n",
      type.name, bits_per_weight(type, {}, kRows, kColumns), plain, weighted, decode, repack);
}

}  // namespace
}  // namespace glimmer

int main(int argc, char** argv) try {
  using namespace glimmer;
  for (int i = 1; i < argc; ++i) measure(require_quant_type(argv[i]));
  if (argc > 1) return 0;
  for (int dtype = 0; dtype <= static_cast<int>(DType::kMXFP4); ++dtype) {
    if (const QuantType* type = quant_type_of(static_cast<DType>(dtype)); type != nullptr) measure(*type);
  }
  measure(require_quant_type("q40"));
  measure(require_quant_type("q80"));
} catch (const glimmer::Error& error) {
  fmt::print(stderr, "bench_quant: {}\n", error.what());
  return 1;
}

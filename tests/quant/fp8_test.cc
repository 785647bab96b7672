#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <vector>

#include "quant/types.h"

namespace glimmer {
namespace {

std::span<const std::byte> bytes_of(const auto& values) { return std::as_bytes(std::span(values)); }

TEST(Fp8, EveryCodeTimesTheScaleOfItsBlockRaggedEdgesToo) {
  constexpr int64_t kRows = 7, kColumns = 37;
  std::vector<uint8_t> codes(kRows * kColumns);
  for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<uint8_t>(i % 126);  // no NaN
  for (const auto& [block_rows, block_columns] :
       {std::pair<int64_t, int64_t>{4, 16}, {1, kColumns}, {kRows, kColumns}}) {
    const int64_t across = (kColumns + block_columns - 1) / block_columns;
    const int64_t down = (kRows + block_rows - 1) / block_rows;
    std::vector<float> scales;
    for (int64_t i = 0; i < across * down; ++i) scales.push_back(0.37F + 0.11F * static_cast<float>(i));
    const EncodedMatrix matrix{.type = &kFp8Type,
                               .params = {.group = block_columns, .block_rows = block_rows},
                               .rows = kRows,
                               .columns = kColumns,
                               .stored_rows = kRows,
                               .parts = {bytes_of(codes), bytes_of(scales)}};
    std::vector<float> out(codes.size());
    decode_rows(matrix, 0, kRows, out.data());
    for (int64_t r = 0; r < kRows; ++r) {
      for (int64_t c = 0; c < kColumns; ++c) {
        const float scale = scales[r / block_rows * across + c / block_columns];
        ASSERT_EQ(out[r * kColumns + c], f8e4m3_to_f32(codes[r * kColumns + c]) * scale) << r << ", " << c;
      }
    }
  }
}

TEST(Fp8, EncodingIsTheNearestCodeOfTheLargestScale) {
  constexpr int64_t kRows = 130, kColumns = 150;
  const QuantParams params{.group = 128, .block_rows = 128};
  std::vector<float> values(kRows * kColumns);
  for (size_t i = 0; i < values.size(); ++i) values[i] = std::sin(static_cast<float>(i)) * (i % 7 == 0 ? 3.0F : 0.1F);
  const std::vector<QuantPart> parts = kFp8Type.parts(params, kRows, kColumns);
  ASSERT_EQ(parts[1].shape, Shape({2, 2}));
  std::vector<std::byte> codes(values.size());
  std::vector<float> scales(4);
  const std::array<std::byte*, 2> out = {codes.data(), reinterpret_cast<std::byte*>(scales.data())};
  kFp8Type.encode(params, values.data(), kRows, kColumns, nullptr, out);
  const EncodedMatrix matrix{.type = &kFp8Type,
                             .params = params,
                             .rows = kRows,
                             .columns = kColumns,
                             .stored_rows = kRows,
                             .parts = {codes, bytes_of(scales)}};
  std::vector<float> back(values.size());
  decode_rows(matrix, 0, kRows, back.data());
  for (size_t i = 0; i < values.size(); ++i) {
    ASSERT_LE(std::abs(back[i] - values[i]), std::abs(values[i]) / 16 + scales[0] * 0x1p-9F) << i;
  }
}

}  // namespace
}  // namespace glimmer

#include "quant/fp8.h"

#include <gtest/gtest.h>

#include <vector>

#include "tensor/dtype.h"

namespace glimmer {
namespace {

TEST(ExpandFp8, EveryCodeTimesTheScaleOfItsBlockRaggedEdgesToo) {
  constexpr int64_t kRows = 7, kColumns = 37;
  std::vector<uint8_t> codes(kRows * kColumns);
  for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<uint8_t>(i % 126);  // no NaN
  for (const auto& [block_rows, block_columns] :
       {std::pair<int64_t, int64_t>{4, 16}, {1, kColumns}, {kRows, kColumns}}) {
    const int64_t across = (kColumns + block_columns - 1) / block_columns;
    const int64_t down = (kRows + block_rows - 1) / block_rows;
    std::vector<float> scales;
    for (int64_t i = 0; i < across * down; ++i) scales.push_back(0.37F + 0.11F * static_cast<float>(i));
    std::vector<float> out(codes.size());
    expand_fp8(codes, kRows, kColumns, {scales, block_rows, block_columns}, out.data());
    for (int64_t r = 0; r < kRows; ++r) {
      for (int64_t c = 0; c < kColumns; ++c) {
        const float scale = scales[r / block_rows * across + c / block_columns];
        ASSERT_EQ(out[r * kColumns + c], f8e4m3_to_f32(codes[r * kColumns + c]) * scale) << r << ", " << c;
      }
    }
  }
}

}  // namespace
}  // namespace glimmer

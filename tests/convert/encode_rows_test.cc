// Values beyond what a type can hold: an error that names them, or cut off; never infinite in what is written.
#include "convert/encode_rows.h"

#include <gmock/gmock.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "base/error.h"

namespace glimmer::convert {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kRows = 130;  // more than fp8's 128
constexpr int64_t kColumns = 512;
constexpr size_t kAt = 3 * kColumns + 300;  // a value of row 3
constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Kind {
  const QuantType* type;
  QuantParams params;
};

// Every type that is written, with scales of every kind.
std::vector<Kind> kinds() {
  std::vector<Kind> kinds;
  for (const QuantType* type : all_quant_types()) {
    if (type->encode == nullptr) continue;
    if (!type->name.starts_with("mlx")) {
      QuantParams params;
      if (type->name == "fp8") params = {.group = 128, .block_rows = 128};
      if (type->name == "nf4") params = {.group = 64};
      kinds.push_back({type, params});
      continue;
    }
    for (const DType scales : {DType::kF16, DType::kBF16, DType::kF32}) {
      kinds.push_back({type, {.group = 64, .scale_dtype = scales}});
    }
  }
  return kinds;
}

class OutOfRangeTest : public ::testing::Test {
 protected:
  OutOfRangeTest() : values_(static_cast<size_t>(kRows * kColumns)) {
    std::mt19937 random(7);
    std::normal_distribution<float> normal(0, 0.02F);
    for (float& value : values_) value = normal(random);
  }

  // What a reader gets of all rows; empty, with the message, if it is refused.
  std::vector<float> written(const Kind& kind, OutOfRange out_of_range) {
    const QuantType* floats = find_quant_type("f32");
    ConvertPiece piece{.data = {.type = floats,
                                .rows = kRows,
                                .columns = kColumns,
                                .stored_rows = kRows,
                                .parts = {std::as_bytes(std::span(values_))}}};
    const ConvertMatrix matrix{.name = "model.big.weight",
                               .shape = {kRows, kColumns},
                               .pieces = {piece},
                               .type = kind.type,
                               .params = kind.params};
    message_.clear();
    try {
      encoder_.encode(matrix, {}, out_of_range, 0, kRows);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalid);
      message_ = error.what();
      return {};
    }
    EXPECT_LT(find_implausible(matrix, encoder_.source_values(), encoder_.written_values()), 0) << kind.type->name;
    return {encoder_.written_values().begin(), encoder_.written_values().end()};
  }

  std::vector<float> values_;
  std::string message_;
  RowEncoder encoder_;
};

bool all_finite(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); });
}

TEST_F(OutOfRangeTest, IsAnErrorThatNamesTensorAndPlaceOrTheValueIsHeld) {
  size_t refused = 0;
  for (const Kind& kind : kinds()) {
    for (const float big : {60000.0F, -70000.0F, 3e6F, -3e9F, 3e38F}) {
      values_[kAt] = big;
      const std::vector<float> result = written(kind, OutOfRange::kError);
      if (result.empty()) {
        EXPECT_THAT(message_, HasSubstr(fmt::format("model.big.weight: the value at [3, 300] is {}", big)));
        EXPECT_THAT(message_, HasSubstr(std::string(kind.type->name)));
        EXPECT_THAT(message_, HasSubstr("--out-of-range saturate"));
        ++refused;
        continue;
      }
      EXPECT_TRUE(all_finite(result)) << kind.type->name << " " << big;
      EXPECT_NEAR(result[kAt] / big, 1, 0.5) << kind.type->name << " " << big;
    }
  }
  EXPECT_GT(refused, 40U);
}

TEST_F(OutOfRangeTest, WhichTypesHoldThreeMillion) {
  values_[kAt] = 3e6F;
  for (const char* name : {"f32", "bf16", "fp8", "nf4", "mxfp4", "q8_0", "q80"}) {
    const QuantParams params = std::string_view(name) == "fp8"   ? QuantParams{.group = 128, .block_rows = 128}
                               : std::string_view(name) == "nf4" ? QuantParams{.group = 64}
                                                                 : QuantParams{};
    EXPECT_FALSE(written({find_quant_type(name), params}, OutOfRange::kError).empty()) << name << ": " << message_;
  }
  for (const char* name : {"f16", "q4_0", "q40"}) {
    EXPECT_TRUE(written({find_quant_type(name), {}}, OutOfRange::kError).empty()) << name;
  }
}

TEST_F(OutOfRangeTest, SaturatesToTheLargestThatIsHeldAndLeavesOtherGroupsAlone) {
  for (const Kind& kind : kinds()) {
    const std::vector<float> before = written(kind, OutOfRange::kError);
    ASSERT_FALSE(before.empty()) << kind.type->name << ": " << message_;
    const float small = values_[kAt];
    const bool is_float = is_float_layout(kind.type->layout(kind.params, kColumns));
    for (const float big : {70000.0F, -3e6F, 3e38F, kInfinity, -kInfinity}) {
      if (is_float && std::isinf(big)) continue;
      values_[kAt] = big;
      const std::vector<float> result = written(kind, OutOfRange::kSaturate);
      ASSERT_FALSE(result.empty()) << kind.type->name << ": " << message_;
      EXPECT_TRUE(all_finite(result)) << kind.type->name << " " << big;
      EXPECT_GT(result[kAt] / std::copysign(1.0F, big), 30000) << kind.type->name << " " << big;
      EXPECT_LE(encoder_.saturated_values(), 1) << kind.type->name << " " << big;
      // fp8 has blocks of 128 rows; the others end with the row.
      const size_t from = kind.type->name == "fp8" ? size_t{128} * kColumns : size_t{4} * kColumns;
      EXPECT_EQ(std::memcmp(&before[from], &result[from], (before.size() - from) * sizeof(float)), 0)
          << kind.type->name << " " << big;
      EXPECT_EQ(std::memcmp(before.data(), result.data(), 256 * sizeof(float)), 0) << kind.type->name << " " << big;
    }
    values_[kAt] = small;
  }
}

TEST_F(OutOfRangeTest, NoNumberIsAlwaysAnErrorWhereValuesAreQuantised) {
  values_[kAt] = std::numeric_limits<float>::quiet_NaN();
  for (const Kind& kind : kinds()) {
    const bool is_float = is_float_layout(kind.type->layout(kind.params, kColumns));
    for (const OutOfRange out_of_range : {OutOfRange::kError, OutOfRange::kSaturate}) {
      if (is_float) continue;
      EXPECT_TRUE(written(kind, out_of_range).empty()) << kind.type->name;
      EXPECT_THAT(message_, HasSubstr("[3, 300] is nan")) << kind.type->name;
    }
  }
}

TEST_F(OutOfRangeTest, HalfPrecisionRoundsDownToItsLargest) {
  values_[kAt] = 65519;  // rounds to 65504
  EXPECT_EQ(written({find_quant_type("f16"), {}}, OutOfRange::kError)[kAt], 65504);
  values_[kAt] = 65520;
  EXPECT_TRUE(written({find_quant_type("f16"), {}}, OutOfRange::kError).empty());
  EXPECT_EQ(written({find_quant_type("f16"), {}}, OutOfRange::kSaturate)[kAt], 65504);
  EXPECT_EQ(encoder_.saturated_values(), 1);
}

}  // namespace
}  // namespace glimmer::convert

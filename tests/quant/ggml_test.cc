// The block types of ggml and Distributed Llama: against the reference quantisers and decoders by hashes that
// tools/make_quant_goldens.py wrote, and by their definitions.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>
#include <set>
#include <sstream>
#include <string>

#include "base/error.h"
#include "quant/ggml_block.h"
#include "quant/scale_search.h"

namespace glimmer {
namespace {

constexpr int64_t kColumns = 512;
constexpr int kKinds = 26, kKindRows = 40, kBlockRows = 24;

const std::vector<std::string> kTypes = {"q4_0", "q4_1", "q5_0",   "q5_1",   "q8_0",  "q2_k", "q3_k", "q4_k",
                                         "q5_k", "q6_k", "iq4_nl", "iq4_xs", "mxfp4", "q40",  "q80"};

// ---- the rows and blocks of the tool ----

class Draws {
 public:
  explicit Draws(uint64_t state) : state_(state) {}
  int operator()() {
    state_ = state_ * 6364136223846793005U + 1442695040888963407U;
    return static_cast<int>(state_ >> 48);
  }
  int normal() {
    int sum = -131070;
    for (int i = 0; i < 4; ++i) sum += (*this)();
    return sum;
  }

 private:
  uint64_t state_;
};

std::vector<float> row_of(int kind, Draws& draw) {
  constexpr std::array<int, 10> kExponents = {-36, -62, -64, -80, -115, -150, -5, 5, 45, 85};  // of kinds 10 to 19
  const int pick = draw() % static_cast<int>(kColumns);
  const int shift = draw() % 8;
  const int base = draw.normal();
  std::vector<float> row;
  for (int column = 0; column < kColumns; ++column) {
    int n = draw.normal();
    const int u = draw();
    int exponent = kind >= 10 && kind <= 19 ? kExponents[kind - 10] : -21;
    if (kind == 1) exponent = u % 14 - 26;
    if (kind == 2) n = u - 32768, exponent = -15;
    if (kind == 3) n = std::abs(n) + 20000;
    if (kind == 4) n = -std::abs(n);
    if (kind == 5) n = base;
    if (kind == 6) n = (1000 << 20) + (n & 1023), exponent = -20;
    if (kind == 7) n = 0;
    if (kind == 8) n = column < kColumns / 2 ? 0 : n;
    if (kind == 9) n = u % 10 != 0 ? 0 : n;
    if (kind == 20) n = column == pick ? 30 << 21 : n;
    if (kind == 21) exponent = u % 61 - 50;
    if (kind == 22) n = (n & 15) - 8, exponent = -shift;
    if (kind == 23) n = 1 - 2 * (u & 1), exponent = 0;
    if (kind == 24) n &= ~255;
    if (kind == 25) n = (column - pick) * (1 + shift), exponent = -9;
    row.push_back(static_cast<float>(std::ldexp(static_cast<double>(n), exponent)));
  }
  return row;
}

// kKindRows rows of each kind.
const std::vector<std::vector<float>>& kinds() {
  static const auto all = [] {
    std::vector<std::vector<float>> list(kKinds);
    Draws draw(3);
    for (int kind = 0; kind < kKinds; ++kind) {
      for (int i = 0; i < kKindRows; ++i) {
        const std::vector<float> row = row_of(kind, draw);
        list[kind].insert(list[kind].end(), row.begin(), row.end());
      }
    }
    return list;
  }();
  return all;
}

std::vector<float> importance(const std::string& name) {
  std::vector<float> values;
  Draws draw(7);
  for (int column = 0; column < kColumns; ++column) {
    const double mantissa = 1 + draw() % 1000;
    const auto value = static_cast<float>(std::ldexp(mantissa, draw() % 10 - 20));
    values.push_back(name == "holes" && column % 3 == 0 ? 0 : value);
  }
  return name == "none" ? std::vector<float>{} : values;
}

std::vector<int> f16_places(const std::string& type) {
  static const std::map<std::string, std::vector<int>> kPlaces = {
      {"q4_1", {0, 2}}, {"q5_1", {0, 2}}, {"q2_k", {80, 82}}, {"q3_k", {108}},
      {"q4_k", {0, 2}}, {"q5_k", {0, 2}}, {"q6_k", {208}},    {"mxfp4", {}}};
  const auto found = kPlaces.find(type);
  return found == kPlaces.end() ? std::vector<int>{0} : found->second;
}

DType dtype_of(const QuantType& type) { return type.parts({}, 1, kColumns)[0].dtype; }

std::vector<std::byte> blocks_of(const QuantType& type) {
  const auto block_bytes = static_cast<size_t>(dtype_block(dtype_of(type)).bytes);
  const size_t row_bytes = dtype_bytes(dtype_of(type), kColumns);
  std::vector<std::byte> blocks(kBlockRows * row_bytes);
  Draws draw(11);
  for (size_t i = row_bytes; i < blocks.size(); ++i) {
    blocks[i] = static_cast<std::byte>(i < 2 * row_bytes ? 255 : draw() & 255);
  }
  for (size_t begin = row_bytes; begin < blocks.size(); begin += block_bytes) {
    for (const int at : f16_places(std::string(type.name))) blocks[begin + at + 1] &= std::byte{0xBF};
    if (type.name == "mxfp4") blocks[begin] &= std::byte{0xFE};
  }
  return blocks;
}

// ---- the types ----

EncodedMatrix matrix_of(const QuantType& type, std::span<const std::byte> blocks, int64_t columns = kColumns) {
  const auto rows = static_cast<int64_t>(blocks.size() / dtype_bytes(dtype_of(type), columns));
  EncodedMatrix matrix{.type = &type, .rows = rows, .columns = columns, .stored_rows = rows};
  matrix.parts[0] = blocks;
  return matrix;
}

std::vector<float> decode(const QuantType& type, std::span<const std::byte> blocks, int64_t columns = kColumns) {
  const EncodedMatrix matrix = matrix_of(type, blocks, columns);
  std::vector<float> values(static_cast<size_t>(matrix.rows * columns));
  decode_rows(matrix, 0, matrix.rows, values.data());
  return values;
}

// As kernels read it, in `memory`, in two pieces.
WeightMatrix repacked(const EncodedMatrix& matrix, std::vector<std::byte>& memory) {
  WeightMatrix panels = weight_matrix_of(matrix.type->layout({}, matrix.columns), matrix.rows, matrix.columns);
  memory.resize(static_cast<size_t>(size_bytes(panels)));
  repack_panels(matrix, panels, 1, panel_count(panels), memory.data());
  repack_panels(matrix, panels, 0, 1, memory.data());
  panels.data = memory.data();
  return panels;
}

std::vector<std::byte> encode(const QuantType& type, std::span<const float> values,
                              const std::vector<float>& importance, int64_t columns = kColumns) {
  std::vector<std::byte> blocks(dtype_bytes(dtype_of(type), static_cast<int64_t>(values.size())));
  std::byte* const out = blocks.data();
  type.encode({}, values.data(), static_cast<int64_t>(values.size()) / columns, columns,
              importance.empty() ? nullptr : importance.data(), std::span(&out, 1));
  return blocks;
}

std::string fnv(std::span<const std::byte> bytes) {
  uint64_t value = 0xCBF29CE484222325U;
  for (const std::byte byte : bytes) value = (value ^ static_cast<uint64_t>(byte)) * 0x100000001B3U;
  return fmt::format("{:016x}", value);
}

std::vector<std::vector<std::string>> golden_lines(const std::string& what) {
  std::ifstream file(std::string(GLIMMER_SOURCE_DIR) + "/tests/quant/ggml_goldens.txt");
  std::vector<std::vector<std::string>> lines;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::vector<std::string> list{std::istream_iterator<std::string>(words), std::istream_iterator<std::string>()};
    if (list.at(0) == what) lines.push_back(std::move(list));
  }
  return lines;
}

TEST(GgmlTypes, EncodeAsTheReferenceQuantisersDo) {
  std::set<std::string> seen;
  for (const auto& line : golden_lines("encode")) {
    ASSERT_EQ(line.size(), 3 + kKinds);
    const QuantType& type = require_quant_type(line[1]);
    seen.insert(line[1]);
    for (int kind = 0; kind < kKinds; ++kind) {
      const std::string& expected = line[3 + kind];
      if (expected == "-") continue;
      EXPECT_EQ(fnv(encode(type, kinds()[kind], importance(line[2]))), expected)
          << line[1] << ", importance " << line[2] << ", rows of kind " << kind;
    }
  }
  EXPECT_THAT(kTypes, ::testing::UnorderedElementsAreArray(seen));
}

TEST(GgmlTypes, DecodeAsTheReferenceDoes) {
  const auto lines = golden_lines("decode");
  EXPECT_EQ(lines.size(), kTypes.size() - 2);
  for (const auto& line : lines) {
    ASSERT_EQ(line.size(), 2 + kBlockRows);
    const QuantType& type = require_quant_type(line[1]);
    std::vector<float> values = decode(type, blocks_of(type));
    for (float& value : values) value += 0.0F;  // the zero of a negative scale has no sign here
    for (int row = 0; row < kBlockRows; ++row) {
      const auto values_of_row = std::span(values).subspan(row * kColumns, kColumns);
      EXPECT_EQ(fnv(std::as_bytes(values_of_row)), line[2 + row]) << line[1] << ", row " << row;
    }
  }
}

// Distributed Llama's types are ggml's on disk.
TEST(GgmlTypes, Q40AndQ80DecodeAsQ4_0AndQ8_0) {
  for (const auto& [ours, ggml] : {std::pair{"q40", "q4_0"}, std::pair{"q80", "q8_0"}}) {
    const QuantType& type = require_quant_type(ours);
    EXPECT_EQ(decode(type, blocks_of(type)), decode(require_quant_type(ggml), blocks_of(type)));
  }
}

TEST(GgmlTypes, ATieOfExtremesIsWhereQ40LeavesQ4_0) {
  std::vector<float> values(32, 0.0F);
  values[3] = -2;
  values[7] = 2;
  const QuantType& q4_0 = require_quant_type("q4_0");
  const QuantType& q40 = require_quant_type("q40");
  EXPECT_EQ(decode(q4_0, encode(q4_0, values, {}, 32), 32)[3], -2);
  EXPECT_EQ(decode(q4_0, encode(q4_0, values, {}, 32), 32)[7], 1.75F);
  EXPECT_EQ(decode(q40, encode(q40, values, {}, 32), 32)[3], -1.75F);
  EXPECT_EQ(decode(q40, encode(q40, values, {}, 32), 32)[7], 2);
}

TEST(GgmlTypes, AHalfIsWhereQ80LeavesQ8_0) {
  std::vector<float> values(32, 0.0F);
  values[0] = 127;
  values[1] = 2.5F;
  values[2] = -2.5F;
  const QuantType& q8_0 = require_quant_type("q8_0");
  const QuantType& q80 = require_quant_type("q80");
  EXPECT_THAT(decode(q8_0, encode(q8_0, values, {}, 32), 32), ::testing::Contains(3));
  EXPECT_THAT(decode(q8_0, encode(q8_0, values, {}, 32), 32), ::testing::Contains(-3));
  EXPECT_THAT(decode(q80, encode(q80, values, {}, 32), 32), ::testing::Contains(2));
  EXPECT_THAT(decode(q80, encode(q80, values, {}, 32), 32), ::testing::Contains(-2));
}

TEST(GgmlTypes, Q8_0RoundsWhatIsJustBelowAHalfDown) {
  std::vector<float> values(32, 0.0F);
  values[0] = 127;
  values[1] = 0x1.fffffep-2F;
  values[2] = -0x1.fffffep-2F;
  values[3] = 0.5F;
  const QuantType& type = require_quant_type("q8_0");
  const std::vector<float> decoded = decode(type, encode(type, values, {}, 32), 32);
  EXPECT_EQ(decoded[1], 0);
  EXPECT_EQ(decoded[2], 0);
  EXPECT_EQ(decoded[3], 1);
}

TEST(GgmlTypes, TensorsOfABlockTypeStandAlone) {
  for (const std::string& name : kTypes) {
    const QuantType& type = require_quant_type(name);
    const bool distributed_llama = name == "q40" || name == "q80";
    EXPECT_EQ(quant_type_of(dtype_of(type)) == &type, !distributed_llama) << name;
    EXPECT_EQ(type.block, dtype_block(dtype_of(type)).values) << name;
  }
}

// A quantised model is to stay as small in memory as it is on disk.
TEST(GgmlTypes, TakeAtMostATenthMoreInMemoryThanOnDisk) {
  constexpr int64_t kWide = 4096;
  for (const QuantType* type : all_quant_types()) {
    if (const auto& name = std::string(type->name); std::find(kTypes.begin(), kTypes.end(), name) == kTypes.end()) {
      continue;
    }
    const WeightLayout layout = type->layout({}, kWide);
    ASSERT_TRUE(weight_layout_fits(layout, kWide)) << type->name;
    const auto bytes = static_cast<double>(weight_matrix_of(layout, kPanelRows, kWide).panel_bytes);
    EXPECT_LE(bytes * 8 / (kPanelRows * kWide), 1.10 * bits_per_weight(*type, {}, 1, kWide)) << type->name;
  }
}

// Each code of each type in a block of its own, at each column: w = scale * code + offset, code by code.
TEST(GgmlTypes, EveryCodeAtEveryColumnIsItsDefinition) {
  for (const std::string& name : kTypes) {
    const QuantType& type = require_quant_type(name);
    const WeightLayout layout = type.layout({}, kColumns);
    const std::vector<std::byte> blocks = blocks_of(type);
    const EncodedMatrix matrix = matrix_of(type, blocks);
    const std::vector<float> values = decode(type, blocks);
    std::vector<std::byte> memory;
    const WeightMatrix panels = repacked(matrix, memory);
    std::vector<std::byte> codes(kColumns);
    std::vector<std::byte> scales(weight_scale_row_bytes(layout, kColumns));
    std::set<int> seen;
    for (int64_t row = 0; row < matrix.rows; ++row) {
      type.unpack_row(matrix, row, codes.data(), scales.data());
      for (int64_t column = 0; column < kColumns; ++column) {
        const int code = static_cast<int>(codes[column]);
        seen.insert(code);
        float scale = 0;
        float offset = 0;
        weight_scale(panels, row, column / layout.group, &scale, &offset);
        const float value = layout.table != nullptr ? layout.table[code] : static_cast<float>(code);
        ASSERT_EQ(values[row * kColumns + column], scale * value + offset) << name << ", " << row << ", " << column;
      }
    }
    EXPECT_EQ(seen.size(), size_t{1} << weight_code_bits(layout.codes)) << name;
  }
}

TEST(GgmlTypes, RepackedRowsAreTheDecodedOnes) {
  for (const std::string& name : kTypes) {
    const QuantType& type = require_quant_type(name);
    const std::vector<std::byte> blocks = blocks_of(type);
    const EncodedMatrix matrix = matrix_of(type, blocks);
    std::vector<std::byte> memory;
    const WeightMatrix panels = repacked(matrix, memory);
    std::vector<float> values(matrix.rows * kColumns);
    for (int64_t row = 0; row < matrix.rows; ++row) {
      decode_weight_columns(panels, row, 0, kColumns, &values[row * kColumns]);
    }
    EXPECT_EQ(values, decode(type, blocks)) << name;
  }
}

// What a type without a search wrote, it writes again. (The searches may find a better scale for what they wrote.)
TEST(GgmlTypes, SimpleTypesKeepWhatTheyWrote) {
  for (const std::string name : {"q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "mxfp4", "q40", "q80"}) {
    const QuantType& type = require_quant_type(name);
    for (const int kind : {0, 2, 3, 4, 5, 7, 8, 9, 16, 20, 22, 23, 24, 25}) {
      const std::vector<float> once = decode(type, encode(type, kinds()[kind], {}));
      ASSERT_EQ(decode(type, encode(type, once, {})), once) << name << ", rows of kind " << kind;
    }
  }
}

// Mean of squared errors over that of the values.
double relative_error(const std::vector<float>& values, const std::vector<float>& decoded) {
  double error = 0;
  double total = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    error += std::pow(static_cast<double>(values[i]) - decoded[i], 2);
    total += std::pow(static_cast<double>(values[i]), 2);
  }
  return error / total;
}

TEST(GgmlTypes, MoreBitsLeaveLessError) {
  const std::vector<float>& values = kinds()[0];
  std::map<std::string, double> error;
  for (const std::string& name : kTypes) {
    const QuantType& type = require_quant_type(name);
    error[name] = relative_error(values, decode(type, encode(type, values, {})));
    // What is written is taken up again with little further loss.
    const std::vector<float> once = decode(type, encode(type, values, {}));
    EXPECT_LE(relative_error(once, decode(type, encode(type, once, {}))), 0.3 * error[name]) << name;
  }
  EXPECT_LT(error["q2_k"], 0.12);
  EXPECT_LT(error["q3_k"], 0.5 * error["q2_k"]);
  EXPECT_LT(error["q4_k"], 0.5 * error["q3_k"]);
  EXPECT_LT(error["q5_k"], 0.5 * error["q4_k"]);
  EXPECT_LT(error["q6_k"], 0.5 * error["q5_k"]);
  EXPECT_LT(error["q8_0"], 0.5 * error["q6_k"]);
  EXPECT_LT(error["iq4_nl"], error["q4_0"]);
  EXPECT_LT(error["q4_1"], error["q4_0"] * 1.05);
  EXPECT_LT(error["q5_0"], 0.5 * error["q4_0"]);
}

// Columns that matter are kept better.
TEST(GgmlTypes, ImportanceMovesTheError) {
  std::vector<float> weights(kColumns, 0.01F);
  for (int64_t column = 0; column < kColumns; column += 4) weights[column] = 1;
  const std::vector<float>& values = kinds()[0];
  for (const std::string name : {"q4_0", "q4_1", "q5_0", "q5_1", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_nl"}) {
    const QuantType& type = require_quant_type(name);
    const auto weighted_error = [&](const std::vector<float>& with) {
      const std::vector<float> decoded = decode(type, encode(type, values, with));
      double error = 0;
      for (size_t i = 0; i < values.size(); i += 4) error += std::pow(values[i] - decoded[i], 2);
      return error;
    };
    EXPECT_LT(weighted_error(weights), 0.95 * weighted_error({})) << name;
  }
}

TEST(GgmlTypes, BlocksOfNoImportanceAreWrittenAsIfThereWereNone) {
  for (const std::string& name : kTypes) {
    const QuantType& type = require_quant_type(name);
    EXPECT_EQ(encode(type, kinds()[1], std::vector<float>(kColumns, 0.0F)), encode(type, kinds()[1], {})) << name;
  }
}

TEST(GgmlTypes, RowsMayBeEncodedInPieces) {
  const std::span<const float> values(kinds()[1]);
  for (const std::string& name : kTypes) {
    const QuantType& type = require_quant_type(name);
    for (const std::string how : {"none", "full"}) {
      std::vector<std::byte> pieces;
      for (int64_t row = 0; row < kKindRows; row += 8) {
        const auto piece = encode(type, values.subspan(row * kColumns, 8 * kColumns), importance(how));
        pieces.insert(pieces.end(), piece.begin(), piece.end());
      }
      EXPECT_EQ(pieces, encode(type, values, importance(how))) << name;
    }
  }
}

// What is no number gives some block, which decodes; the sanitizers watch.
TEST(GgmlTypes, ValuesThatAreNotFiniteAreNoFault) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kMax = std::numeric_limits<float>::max();
  const std::vector<float> odd = {kNan, -kNan, kInf, -kInf, kMax, -kMax, 1, 0x1p-149F, -0.0F};
  const std::vector<std::vector<float>> importances = {{},
                                                       std::vector<float>(256, 1.0F),
                                                       std::vector<float>(256, kInf),
                                                       std::vector<float>(256, kNan),
                                                       std::vector<float>(256, -1.0F)};
  for (const std::string& name : kTypes) {
    const QuantType& type = require_quant_type(name);
    Draws draw(5);
    for (int round = 0; round < 60; ++round) {
      std::vector<float> row(256);
      for (float& value : row) {
        const bool is_odd = round < 18 ? round < 9 || draw() % 20 == 0 : true;
        value = !is_odd ? static_cast<float>(draw.normal()) : odd[round < 18 ? round % 9 : draw() % 9];
      }
      for (const auto& weights : importances) {
        EXPECT_EQ(decode(type, encode(type, row, weights, 256), 256).size(), row.size());
      }
    }
  }
}

TEST(Mxfp4, WhatIsBelowTheLeastExponentIsZeroOrItsLeastStep) {
  const QuantType& type = require_quant_type("mxfp4");
  std::vector<float> values(32, 0.0F);
  values[1] = 0x1p-126F;
  values[2] = -0x1p-128F;
  values[3] = 0x1p-149F;
  const std::vector<float> decoded = decode(type, encode(type, values, {}, 32), 32);
  EXPECT_EQ(decoded[1], 0x1p-126F);
  EXPECT_EQ(decoded[2], -0x1p-128F);
  EXPECT_EQ(decoded[3], 0);
}

TEST(Mxfp4, Exponent255IsNan) {
  std::vector<std::byte> block(17, std::byte{0x22});
  block[0] = std::byte{255};
  for (const float value : decode(require_quant_type("mxfp4"), block, 32)) EXPECT_TRUE(std::isnan(value));
}

TEST(NearestInt, HalvesGoToEven) {
  EXPECT_EQ(nearest_int(0.5F), 0);
  EXPECT_EQ(nearest_int(1.5F), 2);
  EXPECT_EQ(nearest_int(-0.5F), 0);
  EXPECT_EQ(nearest_int(-1.5F), -2);
  EXPECT_EQ(nearest_int(-2.5F), -2);
  EXPECT_EQ(nearest_int(4194303.0F), 4194303);
  for (const float value : {INFINITY, -INFINITY, NAN, 1e30F}) EXPECT_LE(std::abs(nearest_int(value)), 1 << 22);
}

TEST(Iq4Codes, AreTheNearestValue) {
  std::array<float, 32> x = {};
  std::array<uint8_t, 32> codes;
  for (int step = -2 * 130; step <= 2 * 130; ++step) {
    x[0] = static_cast<float>(step) / 2;
    iq4_codes(x.data(), 1, codes.data());
    for (const float value : kIq4Values) {
      EXPECT_LE(std::abs(kIq4Values[codes[0]] - x[0]), std::abs(value - x[0])) << x[0];
    }
  }
}

}  // namespace
}  // namespace glimmer

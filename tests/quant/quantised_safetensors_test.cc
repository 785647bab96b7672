// The types of safetensors checkpoints, against what their own libraries make of a fixed matrix
// (tools/make_mlx_goldens.py) or, where a type is packed in a few lines, against those lines written again here.
#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "quant/nf4.h"
#include "quant/quant_type.h"
#include "quant/stored_floats.h"

namespace glimmer {
namespace {

constexpr int64_t kRows = 96, kColumns = 256;

// Sums of four 16-bit draws, scaled by rows, and some odd rows: the tool's matrix() is the same.
std::vector<float> matrix() {
  std::vector<float> values(kRows * kColumns);
  uint64_t state = 1;
  for (int64_t i = 0; i < kRows * kColumns; ++i) {
    int64_t total = 0;
    for (int draw = 0; draw < 4; ++draw) {
      state = state * 6364136223846793005U + 1442695040888963407U;
      total += static_cast<int64_t>(state >> 48);
    }
    values[i] = std::ldexp(static_cast<float>(total - 131070), -(16 + static_cast<int>(i / kColumns % 7)));
  }
  const auto row = [&](int64_t r) { return std::span(values).subspan(r * kColumns, kColumns); };
  for (float& value : row(88)) value = 0;
  for (float& value : row(89)) value = 0.375F;
  for (float& value : row(90)) value = -0.375F;
  for (float& value : row(91)) value = std::abs(value);
  for (float& value : row(92)) value = -std::abs(value);
  for (float& value : row(93)) value = std::ldexp(value, -10);
  row(94)[17] = 1000;
  for (int64_t i = 0; i < kColumns; i += 2) row(95)[i] = 0;
  return values;
}

std::string fnv(std::span<const std::byte> bytes) {
  uint64_t value = 0xCBF29CE484222325U;
  for (const std::byte byte : bytes) value = (value ^ static_cast<uint64_t>(byte)) * 0x100000001B3U;
  return fmt::format("{:016x}", value);
}

std::string golden_path(const char* name) { return std::string(GLIMMER_SOURCE_DIR) + "/tests/quant/" + name; }

std::vector<std::vector<std::string>> golden_lines(const char* name) {
  std::ifstream file(golden_path(name));
  std::vector<std::vector<std::string>> lines;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    lines.emplace_back(std::istream_iterator<std::string>(words), std::istream_iterator<std::string>());
  }
  return lines;
}

DType dtype_of(const std::string& name) {
  if (name == "f32") return DType::kF32;
  return name == "bf16" ? DType::kBF16 : DType::kF16;
}

// A matrix and the bytes of its parts.
struct Stored {
  std::vector<std::vector<std::byte>> parts;
  EncodedMatrix view;
};

Stored make_stored(const QuantType& type, const QuantParams& params, int64_t rows, int64_t columns) {
  Stored stored;
  for (const QuantPart& part : type.parts(params, rows, columns)) {
    stored.parts.emplace_back(dtype_bytes(part.dtype, part.shape.element_count()));
    if (!part.content.empty()) {
      EXPECT_EQ(part.content.size(), stored.parts.back().size());
      std::memcpy(stored.parts.back().data(), part.content.data(), part.content.size());
    }
  }
  stored.view = {.type = &type, .params = params, .rows = rows, .columns = columns, .stored_rows = rows};
  for (size_t i = 0; i < stored.parts.size(); ++i) stored.view.parts[i] = stored.parts[i];
  return stored;
}

// In two pieces, as a converter may.
Stored encode(const QuantType& type, const QuantParams& params, const std::vector<float>& values) {
  Stored stored = make_stored(type, params, kRows, kColumns);
  const std::vector<QuantPart> parts = type.parts(params, kRows, kColumns);
  constexpr int64_t kFirst = 40;
  for (const auto& [begin, end] : {std::pair<int64_t, int64_t>{0, kFirst}, {kFirst, kRows}}) {
    std::vector<std::byte*> out;
    for (size_t i = 0; i < parts.size(); ++i) {
      const int64_t row_bytes = static_cast<int64_t>(stored.parts[i].size()) / kRows;
      out.push_back(parts[i].matrix_rows == 0 ? nullptr : stored.parts[i].data() + begin * row_bytes);
    }
    type.encode(params, values.data() + begin * kColumns, end - begin, kColumns, nullptr, out);
  }
  return stored;
}

std::vector<float> decode(const Stored& stored) {
  std::vector<float> values(static_cast<size_t>(stored.view.rows * stored.view.columns));
  decode_rows(stored.view, 0, stored.view.rows, values.data());
  return values;
}

std::span<const std::byte> bytes_of(const std::vector<float>& values) { return std::as_bytes(std::span(values)); }

// What mx.dequantize gives: product and sum each rounded to the element type.
std::vector<std::byte> mlx_dequantized(const Stored& stored) {
  const DType dtype = stored.view.params.scale_dtype;
  const int64_t group = stored.view.params.group;
  std::vector<std::byte> codes(kColumns), scales(2 * 4 * kColumns / 32), result(dtype_bytes(dtype, kRows * kColumns));
  for (int64_t row = 0; row < kRows; ++row) {
    stored.view.type->unpack_row(stored.view, row, codes.data(), scales.data());
    for (int64_t i = 0; i < kColumns; ++i) {
      const float scale = load_float(dtype, scales.data(), i / group * 2);
      const float bias = load_float(dtype, scales.data(), i / group * 2 + 1);
      const float product = round_float(dtype, scale * static_cast<float>(static_cast<uint8_t>(codes[i])));
      store_float(dtype, product + bias, result.data(), row * kColumns + i);
    }
  }
  return result;
}

TEST(MlxType, QuantisesAndExpandsAsMlxDoes) {
  const std::vector<float> values = matrix();
  const auto lines = golden_lines("mlx_goldens.txt");
  ASSERT_EQ(lines.size(), 6U * 3U * 3U);
  for (const auto& line : lines) {
    const QuantType& type = require_quant_type("mlx" + line[0]);
    const QuantParams params{.group = std::stoi(line[1]), .scale_dtype = dtype_of(line[2])};
    const std::string what = fmt::format("{}", fmt::join(line, " "));
    const Stored stored = encode(type, params, values);
    EXPECT_EQ(fnv(stored.parts[0]), line[3]) << what;
    EXPECT_EQ(fnv(stored.parts[1]), line[4]) << what;
    EXPECT_EQ(fnv(stored.parts[2]), line[5]) << what;
    EXPECT_EQ(fnv(mlx_dequantized(stored)), line[6]) << what;
    const std::vector<float> decoded = decode(stored);
    if (params.scale_dtype == DType::kF32) {
      EXPECT_EQ(fnv(bytes_of(decoded)), line[6]) << what;
    }
  }
}

TEST(MlxType, DecodesWithoutRoundingToTheElementType) {
  const Stored stored = encode(require_quant_type("mlx5"), {.group = 64, .scale_dtype = DType::kBF16}, matrix());
  const std::vector<float> decoded = decode(stored);
  for (int64_t i : {int64_t{0}, int64_t{33}, kColumns * 7 + 200, kColumns * kRows - 1}) {
    // Code i of the row: bits 5 i to 5 i + 4 of its little-endian bytes.
    const int64_t bit = 5 * (i % kColumns);
    const std::byte* row = stored.parts[0].data() + i / kColumns * (kColumns * 5 / 8);
    int code = 0;
    for (int64_t b = 0; b < 5; ++b) {
      code |= static_cast<int>(row[(bit + b) / 8] >> ((bit + b) % 8) & std::byte{1}) << b;
    }
    const float scale = load_float(DType::kBF16, stored.parts[1].data(), i / 64);
    const float bias = load_float(DType::kBF16, stored.parts[2].data(), i / 64);
    EXPECT_EQ(decoded[i], scale * static_cast<float>(code) + bias) << i;
  }
}

TEST(MlxType, BitsOnDisk) {
  EXPECT_EQ(bits_per_weight(require_quant_type("mlx4"), {.scale_dtype = DType::kBF16}, 64, 256), 4.5);
  EXPECT_EQ(bits_per_weight(require_quant_type("mlx3"), {.group = 32, .scale_dtype = DType::kF16}, 64, 256), 4.0);
}

TEST(Nf4Type, QuantisesAndExpandsAsBitsandbytesDoes) {
  const std::vector<float> values = matrix();
  const auto lines = golden_lines("nf4_goldens.txt");
  ASSERT_EQ(lines.size(), 4U);
  for (const auto& line : lines) {
    std::vector<float> rounded = values;
    for (float& value : rounded) value = round_float(dtype_of(line[1]), value);
    const Stored stored = encode(require_quant_type("nf4"), {.group = std::stoi(line[0])}, rounded);
    EXPECT_EQ(fnv(stored.parts[0]), line[2]);
    EXPECT_EQ(fnv(stored.parts[1]), line[3]);
    EXPECT_EQ(fnv(bytes_of(decode(stored))), line[4]);
    EXPECT_EQ(std::memcmp(stored.parts[2].data(), nf4_table().data(), 64), 0);
    EXPECT_EQ(
        std::string(reinterpret_cast<const char*>(stored.parts[3].data()), stored.parts[3].size()),
        fmt::format(R"({{"quant_type": "nf4", "blocksize": {}, "dtype": "bfloat16", "shape": [96, 256]}})", line[0]));
  }
}

TEST(Nf4Type, NestedScales) {
  const auto line = golden_lines("nf4_goldens.txt").at(0);
  ASSERT_EQ(line[0] + line[1], "64f32");
  const Stored plain = encode(require_quant_type("nf4"), {}, matrix());
  const auto offset = static_cast<uint32_t>(std::stoul(line[6], nullptr, 16));
  Stored nested =
      make_stored(require_quant_type("nf4_nested"), {.scale_offset = std::bit_cast<float>(offset)}, kRows, kColumns);
  std::ifstream file(golden_path("nf4_nested.bin"), std::ios::binary);
  std::memcpy(nested.parts[0].data(), plain.parts[0].data(), plain.parts[0].size());
  for (size_t i = 1; i < nested.parts.size(); ++i) {
    file.read(reinterpret_cast<char*>(nested.parts[i].data()), static_cast<std::streamsize>(nested.parts[i].size()));
    ASSERT_TRUE(file) << i;
  }
  EXPECT_EQ(fnv(bytes_of(decode(nested))), line[5]);
}

TEST(Fp4Types, ExpandAsMlxDoes) {
  std::ifstream file(golden_path("fp4.bin"), std::ios::binary);
  const auto read = [&](void* data, size_t bytes) {
    file.read(static_cast<char*>(data), static_cast<std::streamsize>(bytes));
  };
  for (const char* name : {"nvfp4", "mlx_mxfp4"}) {
    Stored stored = make_stored(require_quant_type(name), {}, 4, 64);
    std::vector<float> expanded(4 * 64);
    read(stored.parts[0].data(), stored.parts[0].size());
    read(stored.parts[1].data(), stored.parts[1].size());
    read(expanded.data(), expanded.size() * sizeof(float));
    ASSERT_TRUE(file) << name;
    EXPECT_EQ(decode(stored), expanded) << name;
  }
  Stored scaled = make_stored(require_quant_type("nvfp4"), {.tensor_scale = 0.25F}, 1, 32);
  scaled.parts[0][3] = std::byte{0x7A};  // codes 10, 7: -1, 6
  scaled.parts[1][0] = std::byte{0x40};  // 2
  EXPECT_EQ(decode(scaled)[6], -0.5F);
  EXPECT_EQ(decode(scaled)[7], 3.0F);
}

// Codes, zero points and scales drawn at random, and the matrix they stand for.
struct Drawn {
  std::vector<int> codes;     // [rows, columns]
  std::vector<int> zeros;     // [rows, groups]
  std::vector<float> scales;  // [rows, groups], exact in the element type
  std::vector<float> values;
};

Drawn draw(int bits, int64_t rows, int64_t columns, int64_t group, bool symmetric) {
  Drawn drawn;
  uint32_t state = 7;
  const auto next = [&] { return (state = state * 1664525U + 1013904223U) >> 16; };
  const int count = 1 << bits;
  for (int64_t i = 0; i < rows * columns / group; ++i) {
    drawn.zeros.push_back(symmetric ? count / 2 : static_cast<int>(next()) % count);
    drawn.scales.push_back(static_cast<float>(1 + next() % 128) / 1024);
  }
  for (int64_t i = 0; i < rows * columns; ++i) {
    drawn.codes.push_back(static_cast<int>(next()) % count);
    drawn.values.push_back(drawn.scales[i / group] * static_cast<float>(drawn.codes[i] - drawn.zeros[i / group]));
  }
  return drawn;
}

void or_bits(std::vector<std::byte>& part, int64_t word, int shift, uint32_t code) {
  uint32_t value;
  std::memcpy(&value, part.data() + 4 * word, 4);
  value |= code << shift;
  std::memcpy(part.data() + 4 * word, &value, 4);
}

void expect_rows(const Stored& stored, const Drawn& drawn) {
  const std::vector<float> decoded = decode(stored);
  for (size_t i = 0; i < decoded.size(); ++i) ASSERT_EQ(decoded[i], drawn.values[i]) << i;
  // A slice of rows in another order reads the same rows.
  EncodedMatrix view = stored.view;
  view.row_map = std::make_shared<const std::vector<int32_t>>(std::vector<int32_t>{3, 9, 8});
  view.rows = 3;
  std::vector<float> row(static_cast<size_t>(view.columns));
  decode_rows(view.slice(1, 2), 0, 1, row.data());
  for (int64_t i = 0; i < view.columns; ++i) ASSERT_EQ(row[i], drawn.values[9 * view.columns + i]) << i;
}

TEST(AwqType, InterleavedNibbles) {
  constexpr int64_t kOut = 24, kIn = 128;
  constexpr std::array<int, 8> kOrder = {0, 2, 4, 6, 1, 3, 5, 7};  // nibble i holds row kOrder[i]
  for (const int64_t group : {int64_t{32}, int64_t{64}, int64_t{0}}) {
    const int64_t width = group == 0 ? kIn : group;
    const Drawn drawn = draw(4, kOut, kIn, width, false);
    Stored stored =
        make_stored(require_quant_type("awq"), {.bits = 4, .group = group, .scale_dtype = DType::kF16}, kOut, kIn);
    for (int64_t out = 0; out < kOut; out += 8) {
      for (int nibble = 0; nibble < 8; ++nibble) {
        const int64_t row = out + kOrder[nibble];
        for (int64_t in = 0; in < kIn; ++in) {
          or_bits(stored.parts[0], in * kOut / 8 + out / 8, 4 * nibble, drawn.codes[row * kIn + in]);
        }
        for (int64_t g = 0; g < kIn / width; ++g) {
          or_bits(stored.parts[1], g * kOut / 8 + out / 8, 4 * nibble, drawn.zeros[row * (kIn / width) + g]);
          store_float(DType::kF16, drawn.scales[row * (kIn / width) + g], stored.parts[2].data(), g * kOut + row);
        }
      }
    }
    expect_rows(stored, drawn);
  }
}

TEST(GptqType, BothFormatsOfZeroPointsAndBothWidths) {
  constexpr int64_t kOut = 24, kIn = 128, kGroup = 32;
  for (const int bits : {4, 8}) {
    for (const int zero_offset : {0, 1}) {
      const Drawn drawn = draw(bits, kOut, kIn, kGroup, false);
      Stored stored = make_stored(
          require_quant_type("gptq"),
          {.bits = bits, .group = kGroup, .scale_dtype = DType::kBF16, .zero_offset = zero_offset}, kOut, kIn);
      const int64_t per_word = 32 / bits;
      const int count = 1 << bits;
      for (int64_t row = 0; row < kOut; ++row) {
        for (int64_t in = 0; in < kIn; ++in) {
          or_bits(stored.parts[0], in / per_word * kOut + row, static_cast<int>(in % per_word) * bits,
                  drawn.codes[row * kIn + in]);
        }
        for (int64_t g = 0; g < kIn / kGroup; ++g) {
          const int zero = drawn.zeros[row * (kIn / kGroup) + g];
          or_bits(stored.parts[1], g * (kOut / per_word) + row / per_word, static_cast<int>(row % per_word) * bits,
                  static_cast<uint32_t>((zero - zero_offset + count) % count));
          store_float(DType::kBF16, drawn.scales[row * (kIn / kGroup) + g], stored.parts[2].data(), g * kOut + row);
        }
      }
      expect_rows(stored, drawn);
    }
  }
}

TEST(CtIntType, GroupsChannelsAndZeroPoints) {
  constexpr int64_t kOut = 19, kIn = 128;  // zero points of 19 rows leave a word half empty
  for (const int bits : {4, 8}) {
    for (const int64_t group : {int64_t{32}, int64_t{128}, int64_t{0}}) {
      for (const bool symmetric : {true, false}) {
        const int64_t width = group == 0 ? kIn : group;
        const Drawn drawn = draw(bits, kOut, kIn, width, symmetric);
        Stored stored =
            make_stored(require_quant_type("ct_int"),
                        {.bits = bits, .group = group, .scale_dtype = DType::kBF16, .symmetric = symmetric}, kOut, kIn);
        const int64_t per_word = 32 / bits, groups = kIn / width;
        for (int64_t row = 0; row < kOut; ++row) {
          for (int64_t in = 0; in < kIn; ++in) {
            or_bits(stored.parts[0], (row * kIn + in) / per_word, static_cast<int>(in % per_word) * bits,
                    drawn.codes[row * kIn + in]);
          }
          for (int64_t g = 0; g < groups; ++g) {
            store_float(DType::kBF16, drawn.scales[row * groups + g], stored.parts[1].data(), row * groups + g);
            if (symmetric) continue;
            or_bits(stored.parts[3], row / per_word * groups + g, static_cast<int>(row % per_word) * bits,
                    drawn.zeros[row * groups + g]);
          }
        }
        expect_rows(stored, drawn);
      }
    }
  }
}

}  // namespace
}  // namespace glimmer

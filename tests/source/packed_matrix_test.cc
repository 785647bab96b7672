#include "source/packed_matrix.h"

#include <gmock/gmock.h>

#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <string>

#include "base/error.h"
#include "format/safetensors.h"
#include "quant/nf4.h"
#include "support/temp_dir.h"

namespace glimmer {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

struct Stored {
  DType dtype;
  Shape shape;
  std::string bytes;  // zeros if empty
};
using Tensors = std::map<std::string, Stored>;

// A checkpoint of these tensors, and what its config.json makes of them.
class Opened {
 public:
  Opened(Tensors tensors, std::string_view config) : matrices_(parse_json(config, "config.json"), "config.json") {
    std::vector<NamedTensor> named;
    for (auto& [name, tensor] : tensors) {
      tensor.bytes.resize(dtype_bytes(tensor.dtype, tensor.shape.element_count()));
      named.push_back({name, {tensor.bytes.data(), tensor.dtype, tensor.shape}});
    }
    write_safetensors(dir_.path() / "model.safetensors", named);
    checkpoint_.emplace(Checkpoint::open(dir_.path()));
  }

  std::optional<PackedMatrix> matrix(const std::string& name) const {
    return matrices_.matrix(*checkpoint_, checkpoint_->require(name));
  }
  bool is_further_part(std::string_view name) const { return matrices_.is_further_part(*checkpoint_, name); }

 private:
  testing::TempDir dir_;
  PackedMatrices matrices_;
  std::optional<Checkpoint> checkpoint_;
};

// The error of the first matrix whose name ends as a first part does.
Error error_of(Tensors tensors, std::string_view config) {
  std::string first;
  for (const auto& [name, tensor] : tensors) {
    if (name == "m.weight" || name == "m.qweight" || name == "m.weight_packed") first = name;
  }
  try {
    Opened(std::move(tensors), config).matrix(first);
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "no error";
  return {ErrorCode::kUsage, ""};
}

template <typename T>
std::string bytes_of(std::initializer_list<T> values) {
  std::string bytes;
  for (const T value : values) bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
  return bytes;
}

// A matrix [6, 128] at 4 bits in groups of 64.
Tensors mlx_tensors() {
  return {{"m.weight", {DType::kU32, {6, 16}, ""}},
          {"m.scales", {DType::kBF16, {6, 2}, ""}},
          {"m.biases", {DType::kBF16, {6, 2}, ""}}};
}
constexpr std::string_view kMlx = R"({"quantization": {"group_size": 64, "bits": 4, "mode": "affine"}})";

TEST(PackedMatrix, MlxTypeAndParameters) {
  const Opened opened(mlx_tensors(), kMlx);
  const PackedMatrix matrix = opened.matrix("m.weight").value();
  EXPECT_EQ(matrix.type->name, "mlx4");
  EXPECT_EQ(matrix.params, (QuantParams{.bits = 4, .group = 64, .scale_dtype = DType::kBF16}));
  EXPECT_EQ(matrix.rows, 6);
  EXPECT_EQ(matrix.columns, 128);
  EXPECT_EQ(matrix.stack, 0);
  EXPECT_EQ(matrix.parts.size(), 3U);
  EXPECT_TRUE(opened.is_further_part("m.scales"));
  EXPECT_TRUE(opened.is_further_part("m.biases"));
  EXPECT_FALSE(opened.is_further_part("m.weight"));
  EXPECT_FALSE(opened.is_further_part("n.scales"));
}

TEST(PackedMatrix, MlxStacksAreRowsOneAfterTheOther) {
  const Opened opened({{"m.weight", {DType::kU32, {5, 6, 12}, ""}},
                       {"m.scales", {DType::kF16, {5, 6, 2}, ""}},
                       {"m.biases", {DType::kF16, {5, 6, 2}, ""}}},
                      R"({"quantization": {"group_size": 64, "bits": 4, "m": {"group_size": 32, "bits": 6}}})");
  const PackedMatrix matrix = opened.matrix("m.weight").value();
  EXPECT_EQ(matrix.type->name, "mlx6");
  EXPECT_EQ(matrix.params.group, 32);
  EXPECT_EQ(matrix.stack, 5);
  EXPECT_EQ(matrix.rows, 30);
  EXPECT_EQ(matrix.columns, 64);
}

TEST(PackedMatrix, MlxFloatModes) {
  const Opened opened({{"m.weight", {DType::kU32, {6, 8}, ""}}, {"m.scales", {DType::kU8, {6, 2}, ""}}},
                      R"({"quantization": {"group_size": 32, "bits": 4, "mode": "mxfp4"}})");
  EXPECT_EQ(opened.matrix("m.weight")->type->name, "mlx_mxfp4");
  const Error unknown = error_of(mlx_tensors(), R"({"quantization": {"group_size": 32, "bits": 8, "mode": "mxfp8"}})");
  EXPECT_EQ(unknown.code(), ErrorCode::kUnsupported);
  EXPECT_THAT(unknown.what(), AllOf(HasSubstr("mxfp8"), HasSubstr("affine")));
}

TEST(PackedMatrix, MlxShapesAndConfigMustAgree) {
  const auto expect = [](std::string_view config, ErrorCode code, auto message) {
    const Error error = error_of(mlx_tensors(), config);
    EXPECT_EQ(error.code(), code) << config;
    EXPECT_THAT(error.what(), message) << config;
  };
  expect(R"({"quantization": {"group_size": 64, "bits": 6}})", ErrorCode::kInvalid,
         AllOf(HasSubstr("m.weight"), HasSubstr("6 bits in groups of 64"), HasSubstr("the shapes say 4 bits")));
  expect(R"({"quantization": {"group_size": 32, "bits": 4}})", ErrorCode::kInvalid, HasSubstr("the shapes say 8 bits"));
  expect(R"({"quantization": {"group_size": 64, "bits": 4, "m": false}})", ErrorCode::kInvalid, HasSubstr("is false"));
  expect(R"({"quantization": {"group_size": 64, "bits": 4, "m": 3}})", ErrorCode::kInvalid,
         HasSubstr("quantization.m"));
  expect(R"({"quantization": {"group_size": 64, "bits": 4, "m": {"bits": 4}}})", ErrorCode::kInvalid,
         HasSubstr("quantization.m.group_size is missing"));
  expect(R"({"quantization": {"group_size": 64, "bits": 7}})", ErrorCode::kInvalid, HasSubstr("quantization.bits"));
  expect(R"({"quantization": {"group_size": 16, "bits": 4}})", ErrorCode::kInvalid, HasSubstr("shapes"));
  expect(R"({"quantization": {"group_size": 0, "bits": 4}})", ErrorCode::kInvalid, HasSubstr("group_size"));
  expect(R"({"quantization": {"group_size": 64}})", ErrorCode::kInvalid, HasSubstr("quantization.bits is missing"));
  expect("{}", ErrorCode::kInvalid, HasSubstr("does not explain"));

  Tensors no_biases = mlx_tensors();
  no_biases.erase("m.biases");
  EXPECT_THAT(error_of(no_biases, kMlx).what(), HasSubstr("there is no m.biases"));
  Tensors rows = mlx_tensors();
  rows.at("m.biases").shape = {7, 2};
  EXPECT_THAT(error_of(rows, kMlx).what(),
              AllOf(HasSubstr("m.biases"), HasSubstr("BF16 [7, 2], expected BF16 [6, 2]")));
  Tensors types = mlx_tensors();
  types.at("m.biases").dtype = DType::kF16;
  EXPECT_THAT(error_of(types, kMlx).what(), HasSubstr("dtype F16, expected BF16"));
  Tensors empty = mlx_tensors();
  for (auto& [name, tensor] : empty) tensor.shape = {0, int64_t{1} << 40};
  EXPECT_EQ(error_of(empty, kMlx).code(), ErrorCode::kLimit);
  // A group that the layout has, but MLX has not.
  Tensors odd = {{"m.weight", {DType::kU32, {6, 12}, ""}},
                 {"m.scales", {DType::kBF16, {6, 1}, ""}},
                 {"m.biases", {DType::kBF16, {6, 1}, ""}}};
  EXPECT_THAT(error_of(odd, R"({"quantization": {"group_size": 96, "bits": 4}})").what(), HasSubstr("32, 64, 128"));
}

// [128 columns, 16 rows] in groups of 32.
Tensors gptq_tensors() {
  std::string order;
  for (int32_t i = 0; i < 128; ++i) order += bytes_of({i / 32});
  std::string zeros;
  for (int i = 0; i < 4 * 2; ++i) zeros += bytes_of({0x77777777});
  return {{"m.qweight", {DType::kI32, {16, 16}, ""}},
          {"m.qzeros", {DType::kI32, {4, 2}, zeros}},
          {"m.scales", {DType::kF16, {4, 16}, ""}},
          {"m.g_idx", {DType::kI32, {128}, order}}};
}

std::string gptq_config(std::string_view rest = "") {
  return fmt::format(R"({{"quantization_config": {{"quant_method": "gptq", "bits": 4, "group_size": 32{}{}}}}})",
                     rest.empty() ? "" : ", ", rest);
}

TEST(PackedMatrix, GptqZeroPointsByFormat) {
  const auto offset = [](const Tensors& tensors, const std::string& config) {
    return Opened(tensors, config).matrix("m.qweight")->params.zero_offset;
  };
  EXPECT_EQ(offset(gptq_tensors(), gptq_config()), 1);
  EXPECT_EQ(offset(gptq_tensors(), gptq_config(R"("checkpoint_format": "gptq_v2")")), 0);
  EXPECT_EQ(offset(gptq_tensors(), gptq_config(R"("sym": true)")), 1);
  // Some symmetric checkpoints call themselves the first format and store the zero as it is.
  Tensors plain_zeros = gptq_tensors();
  std::memset(plain_zeros.at("m.qzeros").bytes.data(), 0x88, 32);
  EXPECT_EQ(offset(plain_zeros, gptq_config(R"("sym": true)")), 0);
  std::memset(plain_zeros.at("m.qzeros").bytes.data(), 0x99, 32);
  EXPECT_THAT(error_of(plain_zeros, gptq_config(R"("sym": true)")).what(), HasSubstr("the first zero point is 9"));
  EXPECT_THAT(error_of(gptq_tensors(), gptq_config(R"("checkpoint_format": "marlin")")).what(), HasSubstr("gptq_v2"));
}

TEST(PackedMatrix, GptqColumnsMustBeInOrder) {
  const PackedMatrix matrix = Opened(gptq_tensors(), gptq_config(R"("desc_act": true)")).matrix("m.qweight").value();
  EXPECT_EQ(matrix.rows, 16);
  EXPECT_EQ(matrix.columns, 128);
  Tensors ordered = gptq_tensors();
  ordered.at("m.g_idx").bytes[4 * 70] = 3;
  const Error error = error_of(ordered, gptq_config(R"("desc_act": true)"));
  EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("m.g_idx"), HasSubstr("entry 70 is 3, expected 2"), HasSubstr("desc_act")));
  ordered.at("m.g_idx").bytes[4 * 127] = 0;
  EXPECT_THAT(error_of(ordered, gptq_config()).what(), HasSubstr("entry 127 is 0"));
  EXPECT_THAT(error_of(gptq_tensors(), gptq_config(R"("bits": 3)")).what(), HasSubstr("bits"));
}

TEST(PackedMatrix, AwqVersions) {
  const Tensors tensors = {{"m.qweight", {DType::kI32, {128, 3}, ""}},
                           {"m.qzeros", {DType::kI32, {1, 3}, ""}},
                           {"m.scales", {DType::kF16, {1, 24}, ""}}};
  const auto config = [](std::string_view rest) {
    return fmt::format(R"({{"quantization_config": {{"quant_method": "awq", {}}}}})", rest);
  };
  const PackedMatrix matrix =
      Opened(tensors, config(R"("bits": 4, "group_size": -1, "version": "gemm")")).matrix("m.qweight").value();
  EXPECT_EQ(matrix.rows, 24);
  EXPECT_EQ(matrix.params.group, 128);
  EXPECT_THAT(error_of(tensors, config(R"("bits": 4, "group_size": 128, "version": "gemv")")).what(),
              HasSubstr("gemv"));
  EXPECT_THAT(error_of(tensors, config(R"("bits": 8, "group_size": 128)")).what(), HasSubstr("bits"));
  EXPECT_THAT(error_of(tensors, config(R"("bits": 4, "group_size": 64)")).what(), HasSubstr("m.qzeros"));
  EXPECT_THAT(error_of(tensors, config(R"("bits": 4, "group_size": 48)")).what(), HasSubstr("groups of 48"));
}

TEST(PackedMatrix, CompressedTensorsByShape) {
  const auto config = [](int bits) {
    return fmt::format(
        R"({{"quantization_config": {{"quant_method": "compressed-tensors", "format": "pack-quantized",
            "config_groups": {{"group_0": {{"weights": {{"num_bits": {}, "type": "int"}}}}}}}}}})",
        bits);
  };
  Tensors tensors = {{"m.weight_packed", {DType::kI32, {10, 16}, ""}},
                     {"m.weight_scale", {DType::kBF16, {10, 4}, ""}},
                     {"m.weight_shape", {DType::kI64, {2}, bytes_of<int64_t>({10, 128})}}};
  PackedMatrix matrix = Opened(tensors, config(4)).matrix("m.weight_packed").value();
  EXPECT_EQ(matrix.params, (QuantParams{.bits = 4, .group = 32, .scale_dtype = DType::kBF16}));
  EXPECT_THAT(error_of(tensors, config(8)).what(), HasSubstr("4 bits of type int"));

  tensors["m.weight_zero_point"] = {DType::kI32, {2, 4}, ""};
  EXPECT_FALSE(Opened(tensors, config(4)).matrix("m.weight_packed")->params.symmetric);
  tensors["m.weight_zero_point"].shape = {10, 4};
  EXPECT_THAT(error_of(tensors, config(4)).what(), HasSubstr("m.weight_zero_point"));
  tensors.erase("m.weight_zero_point");
  tensors.at("m.weight_shape").bytes = bytes_of<int64_t>({10, 0});
  EXPECT_THAT(error_of(tensors, config(4)).what(), HasSubstr("[10, 0]"));
  tensors.at("m.weight_shape").bytes = bytes_of<int64_t>({10, 127});
  EXPECT_THAT(error_of(tensors, config(4)).what(), HasSubstr("[10, 127]"));
  tensors["m.weight_g_idx"] = {DType::kI32, {128}, ""};
  EXPECT_EQ(error_of(tensors, config(4)).code(), ErrorCode::kUnsupported);
}

TEST(PackedMatrix, Nvfp4ScaleOfTheTensor) {
  constexpr std::string_view kConfig =
      R"({"quantization_config": {"quant_method": "compressed-tensors",
          "config_groups": {"group_0": {"weights": {"num_bits": 4, "type": "float"}}}}})";
  Tensors tensors = {{"m.weight_packed", {DType::kU8, {3, 32}, ""}},
                     {"m.weight_scale", {DType::kF8E4M3, {3, 4}, ""}},
                     {"m.weight_global_scale", {DType::kF32, {1}, bytes_of({4.0F})}}};
  EXPECT_EQ(Opened(tensors, kConfig).matrix("m.weight_packed")->params.tensor_scale, 0.25F);
  tensors.at("m.weight_global_scale").bytes = bytes_of({0.0F});
  EXPECT_THAT(error_of(tensors, kConfig).what(), HasSubstr("above 0"));

  const Tensors modelopt = {{"m.weight", {DType::kU8, {3, 32}, ""}},
                            {"m.weight_scale", {DType::kF8E4M3, {3, 4}, ""}},
                            {"m.weight_scale_2", {DType::kF32, {}, bytes_of({4.0F})}}};
  EXPECT_EQ(Opened(modelopt, R"({"quantization_config": {"quant_method": "modelopt", "quant_algo": "NVFP4"}})")
                .matrix("m.weight")
                ->params.tensor_scale,
            4.0F);
}

Tensors nf4_tensors(const std::string& state) {
  const std::string map(reinterpret_cast<const char*>(nf4_table().data()), 64);
  const auto bytes = static_cast<int64_t>(state.size());
  return {{"m.weight", {DType::kU8, {3 * 128 / 2, 1}, ""}},
          {"m.weight.absmax", {DType::kF32, {6}, ""}},
          {"m.weight.quant_map", {DType::kF32, {16}, map}},
          {"m.weight.quant_state.bitsandbytes__nf4", {DType::kU8, {bytes}, state}}};
}

TEST(PackedMatrix, Nf4StateSaysTheShape) {
  constexpr std::string_view kConfig = R"({"quantization_config": {"quant_method": "bitsandbytes"}})";
  const std::string good = R"({"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [3, 128]})";
  const PackedMatrix matrix = Opened(nf4_tensors(good), kConfig).matrix("m.weight").value();
  EXPECT_EQ(matrix.type->name, "nf4");
  EXPECT_EQ(matrix.rows, 3);
  EXPECT_EQ(matrix.columns, 128);
  EXPECT_TRUE(Opened(nf4_tensors(good), kConfig).is_further_part("m.weight.quant_state.bitsandbytes__nf4"));

  const auto expect = [&](const std::string& state, std::string_view message) {
    EXPECT_THAT(error_of(nf4_tensors(state), kConfig).what(), HasSubstr(message)) << state;
  };
  expect(R"({"quant_type": "fp4", "blocksize": 64, "shape": [3, 128]})", "fp4");
  expect(R"({"quant_type": "nf4", "blocksize": 64, "shape": [4, 128]})", "m.weight");
  expect(R"({"quant_type": "nf4", "blocksize": 64, "shape": [4, 96]})", "whole blocks");
  expect(R"({"quant_type": "nf4", "blocksize": 32, "shape": [3, 128]})", "blocks of 32");
  expect(R"({"quant_type": "nf4", "blocksize": 64, "shape": [3, 99999999999999]})", "shape");
  expect(R"({"quant_type": "nf4", "blocksize": 64, "shape": [3, -128]})", "shape");
  expect(R"({"quant_type": "nf4", "shape": [3, 128]})", "blocksize is missing");
  expect("{", "");
  expect(R"({"quant_type": "nf4", "blocksize": 64, "shape": [3, 128], "nested_offset": 1e999})", "");
  expect(R"({"quant_type": "nf4", "blocksize": 64, "shape": [3, 128], "nested_offset": 1, "nested_blocksize": 64})",
         "nested_blocksize");
  Tensors table = nf4_tensors(good);
  table.at("m.weight.quant_map").bytes[0] = 1;
  EXPECT_EQ(error_of(table, kConfig).code(), ErrorCode::kUnsupported);
  Tensors fp4 = nf4_tensors(good);
  fp4["m.weight.quant_state.bitsandbytes__fp4"] = {DType::kU8, {1}, ""};
  EXPECT_THAT(error_of(fp4, kConfig).what(), HasSubstr("fp4"));
}

TEST(PackedMatrix, UnknownMethodsAreNamed) {
  const Error error = error_of(mlx_tensors(), R"({"quantization_config": {"quant_method": "aqlm"}})");
  EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("aqlm"), HasSubstr("bitsandbytes"), HasSubstr("gptq")));
}

}  // namespace
}  // namespace glimmer

// GGUF files, written by tools/gguf_files.py with the gguf package in the layout of llama.cpp's converter, give the
// logits of the transformers model whose weights they hold: fused and split experts, both halves of kv_b_proj, a fused
// qkv, the paired rows of llama.
#include <gmock/gmock.h>

#include <cmath>
#include <cstring>

#include "format/safetensors.h"
#include "model/forward.h"
#include "model/kv_cache.h"
#include "support/paths.h"

namespace glimmer {
namespace {

class GgufGolden : public ::testing::TestWithParam<const char*> {};

const TensorInfo& require(const SafetensorsFile& file, std::string_view name) {
  const TensorInfo* tensor = file.find(name);
  if (tensor == nullptr) throw std::runtime_error("no " + std::string(name));
  return *tensor;
}

TEST_P(GgufGolden, LogitsEqualTransformers) {
  const std::filesystem::path tests = testing::source_dir() / "tests";
  const SafetensorsFile golden(tests / "fixtures" / GetParam() / "golden.safetensors");
  const TensorInfo& input = require(golden, "input_ids");
  const TensorInfo& expected = require(golden, "logits");
  std::vector<int32_t> ids(static_cast<size_t>(input.shape.element_count()));
  std::memcpy(ids.data(), input.data.data(), input.data.size());
  const Model model = Model::load(tests / "source/gguf" / fmt::format("{}.gguf", GetParam()));
  Context context({.backend = "ref", .threads = 2});
  Forward forward(model, context);
  KvCache kv(model.config());
  const ConstTensorView logits = forward.run(ids, kv, LogitsFor::kAllTokens);
  ASSERT_EQ(logits.shape, expected.shape);
  float largest = 0;
  float error = 0;
  for (int64_t i = 0; i < logits.shape.element_count(); ++i) {
    float value;
    std::memcpy(&value, expected.data.data() + 4 * i, sizeof value);
    largest = std::max(largest, std::abs(value));
    const float difference = std::abs(logits.as<float>()[i] - value);
    error = difference <= error ? error : difference;  // NaN counts as the largest
  }
  EXPECT_LE(error, 1e-5F * largest);
}

INSTANTIATE_TEST_SUITE_P(Files, GgufGolden,
                         ::testing::Values("glm4_moe_mtp", "glm4_moe_lite_flash", "glm_bias", "llama_bias"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace glimmer

// GGUF files, written by tools/gguf_files.py with the gguf package in the layout of llama.cpp's converter, give the
// logits of the transformers model whose weights they hold: fused and split experts, both halves of kv_b_proj, a fused
// qkv, the paired rows of llama.
#include <gmock/gmock.h>

#include "golden/expect_logits.h"
#include "support/paths.h"

namespace glimmer {
namespace {

class GgufGolden : public ::testing::TestWithParam<const char*> {};

TEST_P(GgufGolden, LogitsEqualTransformers) {
  const std::filesystem::path tests = testing::source_dir() / "tests";
  testing::expect_logits(tests / "source/gguf" / fmt::format("{}.gguf", GetParam()),
                         tests / "fixtures" / GetParam() / "golden.safetensors", 1e-5F);
}

INSTANTIATE_TEST_SUITE_P(Files, GgufGolden,
                         ::testing::Values("glm4_moe_mtp", "glm4_moe_lite_flash", "glm_bias", "llama_bias"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace glimmer

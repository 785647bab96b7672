// What config.json may say of quantised weights.
#include "source/hf_quantization.h"

#include <gmock/gmock.h>

#include "base/error.h"
#include "format/safetensors.h"
#include "source/model_source.h"
#include "support/temp_dir.h"

namespace glimmer {
namespace {

using ::testing::HasSubstr;

std::string message_of(const Json& config) {
  try {
    HfQuantization(config, "config.json");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
    return error.what();
  }
  return "none";
}

TEST(HfQuantization, UnknownMethodsAreErrorsThatListTheKnown) {
  EXPECT_THAT(message_of({{"quantization_config", {{"quant_method", "quip"}}}}), HasSubstr("compressed-tensors"));
}

// transformers writes shared experts of zero width where a model has none.
TEST(HfQuantization, EmptyFp8MatricesDivideNothingByZero) {
  const testing::TempDir dir;
  const float scales[4] = {1, 1, 1, 1};
  const std::byte none{};
  dir.write("config.json", R"({"quantization_config": {"quant_method": "fp8"}})");
  write_safetensors(dir.path() / "model.safetensors",
                    std::vector<NamedTensor>{{"a.weight", {&none, DType::kF8E4M3, {0, 64}}},
                                             {"a.weight_scale", {scales, DType::kF32, {1}}},
                                             {"b.weight", {&none, DType::kF8E4M3, {4, 0}}},
                                             {"b.weight_scale", {scales, DType::kF32, {4}}}});
  try {
    ModelSource::open(dir.path());
  } catch (const Error&) {  // one or the other: no crash
  }
}

TEST(HfQuantization, AbsentMeansNone) {
  EXPECT_EQ(HfQuantization(Json::object(), "config.json").description(), "none");
  EXPECT_EQ(HfQuantization({{"quantization_config", nullptr}}, "config.json").description(), "none");
}

}  // namespace
}  // namespace glimmer

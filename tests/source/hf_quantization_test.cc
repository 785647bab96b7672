// What config.json may say of quantised weights.
#include "source/hf_quantization.h"

#include <gmock/gmock.h>

#include "base/error.h"

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

TEST(HfQuantization, AbsentMeansNone) {
  EXPECT_EQ(HfQuantization(Json::object(), "config.json").description(), "none");
  EXPECT_EQ(HfQuantization({{"quantization_config", nullptr}}, "config.json").description(), "none");
}

}  // namespace
}  // namespace glimmer

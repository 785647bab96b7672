#include "source/importance.h"

#include <gmock/gmock.h>

#include <cmath>

#include "base/error.h"
#include "support/temp_dir.h"

namespace glimmer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::TempDir;

template <typename Function>
void expect_error(ErrorCode code, const std::string& part, const Function& function) {
  try {
    function();
    ADD_FAILURE() << "no error; expected " << part;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code);
    EXPECT_THAT(error.what(), HasSubstr(part));
  }
}

TEST(Importance, WrittenAndRead) {
  const TempDir dir;
  const auto path = dir.path() / "importance.safetensors";
  const std::vector<WeightImportance> weights = {
      {.name = "model.layers.0.self_attn.q_proj.weight", .sum_of_squares = {1, 2, 0}, .count = 4},
      {.name = "lm_head.weight", .sum_of_squares = {9}, .count = 1}};
  write_importance(path, weights, {{"tokens", "4"}});
  const Importance importance = Importance::load(path);
  EXPECT_EQ(importance.weights(), 2);
  EXPECT_THAT(importance.mean_squares("model.layers.0.self_attn.q_proj.weight"), ElementsAre(0.25F, 0.5F, 0));
  EXPECT_THAT(importance.mean_squares("lm_head.weight", 1), ElementsAre(9));
  EXPECT_EQ(importance.count("model.layers.0.self_attn.q_proj.weight"), 4);
  EXPECT_THAT(importance.mean_squares("no.such.weight", 3), IsEmpty());
  EXPECT_EQ(importance.count("no.such.weight"), 0);
  EXPECT_EQ(importance.metadata().at("tokens"), "4");
  expect_error(ErrorCode::kInvalid, "another model", [&] { importance.mean_squares("lm_head.weight", 2); });
}

TEST(Importance, BrokenActivationsAreNotWritten) {
  const TempDir dir;
  const auto path = dir.path() / "importance.safetensors";
  const std::vector<WeightImportance> weights = {{.name = "w", .sum_of_squares = {1, NAN}, .count = 1}};
  expect_error(ErrorCode::kInvalid, "broken", [&] { write_importance(path, weights, {}); });
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(Importance, OtherFilesAreRefused) {
  const TempDir dir;
  const auto path = dir.path() / "file.safetensors";
  const std::vector<float> sums = {1, 2};
  const std::vector<float> negative = {1, -2};
  const std::vector<float> infinite = {1, INFINITY};
  const int64_t one = 1;
  const int64_t zero = 0;
  const ConstTensorView sums_view(sums.data(), DType::kF32, {2});
  const ConstTensorView one_view(&one, DType::kI64, {1});
  const NamedTensor good_sums{"w.in_sum2", sums_view};
  const NamedTensor good_count{"w.count", one_view};
  const auto refused = [&](const std::string& part, std::vector<NamedTensor> tensors,
                           const std::string& format = "glimmer-imatrix-1") {
    write_safetensors(path, tensors, {{"format", format}});
    expect_error(ErrorCode::kInvalid, part, [&] { Importance::load(path); });
  };
  refused("format: expected", {good_sums, good_count}, "pt");
  refused("ends in", {good_sums, good_count, {"w.weight", sums_view}});
  refused(".count", {good_sums});
  refused(".in_sum2", {good_count});
  refused("F32 [columns]", {{"w.in_sum2", {sums.data(), DType::kF32, {1, 2}}}, good_count});
  refused("F32 [columns]", {{"w.in_sum2", {sums.data(), DType::kI32, {2}}}, good_count});
  refused("F32 [columns]", {{"w.in_sum2", {sums.data(), DType::kF32, {0}}}, good_count});
  refused("I64 [1]", {good_sums, {"w.count", {&one, DType::kI32, {1}}}});
  refused("I64 [1]", {good_sums, {"w.count", {sums.data(), DType::kI64, Shape()}}});
  refused("at least 1", {good_sums, {"w.count", {&zero, DType::kI64, {1}}}});
  refused("value 1 is -2", {{"w.in_sum2", {negative.data(), DType::kF32, {2}}}, good_count});
  refused("value 1 is inf", {{"w.in_sum2", {infinite.data(), DType::kF32, {2}}}, good_count});
  dir.write("file.safetensors", "not such a file");
  expect_error(ErrorCode::kInvalid, "file.safetensors", [&] { Importance::load(path); });
  expect_error(ErrorCode::kNotFound, "missing", [&] { Importance::load(dir.path() / "missing"); });
}

}  // namespace
}  // namespace glimmer

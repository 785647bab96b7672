// Every fixture on several ranks gives the bits of one: tensor parallelism, pipelines and both, even and uneven splits,
// more ranks than key heads, ranks that hold nothing.
#include <gmock/gmock.h>

#include "engine/generate.h"
#include "engine/local_runner.h"
#include "support/fenced_device.h"
#include "support/paths.h"
#include "support/ranks.h"

namespace glimmer {
namespace {

using testing::RanksOptions;
using testing::with_ranks;

// A prompt in chunks, then token by token; logits of all.
std::vector<float> logits_in_chunks(Runner& runner, std::span<const int32_t> ids) {
  KvCache kv = runner.make_cache();
  std::vector<float> all;
  for (size_t at = 0; at < ids.size();) {
    const size_t count = at < 8 ? std::min<size_t>(5, ids.size() - at) : 1;
    const ConstTensorView logits = runner.run(ids.subspan(at, count), kv, static_cast<int64_t>(count));
    all.insert(all.end(), logits.as<float>(), logits.as<float>() + logits.shape.element_count());
    at += count;
  }
  return all;
}

std::vector<int32_t> some_ids(const ModelConfig& config) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < 14; ++i) ids.push_back(static_cast<int32_t>(i * 37 % config.vocab_size));
  return ids;
}

std::vector<float> expected_logits(const std::filesystem::path& dir, Precision precision) {
  const std::unique_ptr<Device> device = open_device({.threads = 1});
  Context context(*device, precision, kv_type_of(precision));
  const Model model = Model::load(ModelSource::open(dir), *device);
  LocalRunner runner(model, context);
  return logits_in_chunks(runner, some_ids(model.config()));
}

class Ranks : public ::testing::TestWithParam<std::filesystem::path> {
 protected:
  static int64_t layers() { return read_config(side_files_of(*ModelSource::open(GetParam()))).num_hidden_layers; }

  void expect_same(RanksOptions options) {
    for (const Precision precision : {Precision::kFast, Precision::kExact}) {
      std::vector<float>& expected = expected_[precision == Precision::kExact];
      if (expected.empty()) expected = expected_logits(GetParam(), precision);
      options.precision = precision;
      std::vector<float> got;
      with_ranks(GetParam(), options,
                 [&](std::unique_ptr<Runner> runner) { got = logits_in_chunks(*runner, some_ids(runner->config())); });
      EXPECT_TRUE(got == expected) << to_string(options.form) << ", " << precision_name(precision);
    }
  }

 private:
  std::array<std::vector<float>, 2> expected_;
};

TEST_P(Ranks, TensorParallelGivesTheBitsOfOne) {
  for (const int tp : {2, 3, 5}) expect_same({.form = {.tp = tp}});
}

TEST_P(Ranks, UnevenSplitsToo) {
  expect_same({.form = {.tp = 3}, .split = {3, 2, 2}});
  expect_same({.form = {.tp = 2}, .split = {5, 1}});
  expect_same({.form = {.tp = 3}, .split = {0, 1, 4}});  // rank 0, which decides, holds almost nothing
}

TEST_P(Ranks, PipelinesToo) {
  for (const int pp : {2, 3}) {
    if (pp <= layers()) expect_same({.form = {.pp = pp}});
  }
  if (layers() >= 2) expect_same({.form = {.tp = 2, .pp = 2}});
}

TEST_P(Ranks, OnMemoryThatTheHostCannotTouchToo) {
  const auto memory = std::make_shared<testing::FencedMemory>();
  const auto open = [&]() -> std::unique_ptr<Device> {
    return std::make_unique<testing::FencedDevice>(DeviceOptions{.threads = 1}, memory);
  };
  expect_same({.form = {.tp = 2}, .open = open});
  if (layers() >= 2) expect_same({.form = {.pp = 2}, .open = open});
}

INSTANTIATE_TEST_SUITE_P(Fixtures, Ranks, ::testing::ValuesIn(testing::fixture_dirs()),
                         [](const auto& test) { return test.param.filename().string(); });

}  // namespace
}  // namespace glimmer

// Every fixture on every backend against what transformers computed: logits, named intermediates, greedy continuation;
// and the forward pass against itself: in chunks, token by token, on several threads.
#include <gmock/gmock.h>

#include <cmath>
#include <map>
#include <string>

#include "engine/generate.h"
#include "format/safetensors.h"
#include "model/forward.h"
#include "support/paths.h"

namespace glimmer {
namespace {

struct Case {
  std::filesystem::path dir;
  std::string backend;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.dir.filename().string() << " on " << c.backend; }

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const auto& dir : testing::fixture_dirs()) {
    for (const kernels::KernelTable* table : kernels::all_tables()) {
      if (table->supported()) all.push_back({dir, std::string(table->name)});
    }
  }
  return all;
}

std::vector<int32_t> ids_of(const SafetensorsFile& golden, std::string_view name) {
  const TensorInfo* tensor = golden.find(name);
  if (tensor == nullptr) throw std::runtime_error("golden.safetensors lacks " + std::string(name));
  const auto* values = reinterpret_cast<const int32_t*>(tensor->data.data());
  return {values, values + tensor->shape.element_count()};
}

// Remembers what a forward pass told it, the chunks of one name joined.
class Recorder : public Tap {
 public:
  void record(std::string_view name, ConstTensorView value) override {
    std::vector<float>& values = recorded_[std::string(name)];
    const int64_t count = value.shape.element_count();
    for (int64_t i = 0; i < count; ++i) {
      values.push_back(value.dtype == DType::kI32 ? static_cast<float>(value.as<int32_t>()[i]) : value.as<float>()[i]);
    }
  }
  const std::map<std::string, std::vector<float>>& recorded() const { return recorded_; }

 private:
  std::map<std::string, std::vector<float>> recorded_;
};

float largest(std::span<const float> values) {
  float most = 0;
  for (const float value : values) most = std::max(most, std::abs(value));
  return most;
}

// The largest |a - b| as a part of the largest |b|.
float relative_error(std::span<const float> a, std::span<const float> b) {
  if (a.size() != b.size()) return INFINITY;
  float most = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const float error = std::abs(a[i] - b[i]);
    if (!(error <= most)) most = error;  // NaN counts as the largest
  }
  return most / std::max(largest(b), 1e-20F);
}

std::vector<float> run_in_chunks(Forward& forward, std::span<const int32_t> ids, int64_t chunk) {
  KvCache kv(forward.model().config());
  std::vector<float> logits;
  for (size_t at = 0; at < ids.size(); at += static_cast<size_t>(chunk)) {
    const auto part = ids.subspan(at, std::min(static_cast<size_t>(chunk), ids.size() - at));
    const ConstTensorView out = forward.run(part, kv, LogitsFor::kAllTokens);
    logits.insert(logits.end(), out.as<float>(), out.as<float>() + out.shape.element_count());
  }
  return logits;
}

// docs/numerics.md has these bounds and why.
constexpr float kTolerance = 1e-4F;

class Golden : public ::testing::TestWithParam<Case> {
 protected:
  Golden()
      : golden_(GetParam().dir / "golden.safetensors"),
        model_(Model::load(GetParam().dir)),
        ids_(ids_of(golden_, "input_ids")) {}

  std::vector<float> golden_values(std::string_view name) const {
    const TensorInfo* tensor = golden_.find(name);
    std::vector<float> values(static_cast<size_t>(tensor->shape.element_count()));
    if (tensor->dtype == DType::kI32) {
      const std::vector<int32_t> ids = ids_of(golden_, name);
      return {ids.begin(), ids.end()};
    }
    std::memcpy(values.data(), tensor->data.data(), tensor->data.size());
    return values;
  }

  SafetensorsFile golden_;
  Model model_;
  std::vector<int32_t> ids_;
};

TEST_P(Golden, LogitsAndEveryNamedIntermediateEqualTransformers) {
  Context context({.backend = GetParam().backend, .threads = 2});
  Recorder recorder;
  context.set_tap(&recorder);
  Forward forward(model_, context);
  run_in_chunks(forward, ids_, forward.chunk_tokens());
  int compared = 0;
  for (const TensorInfo& tensor : golden_.tensors()) {
    if (tensor.name == "input_ids" || tensor.name == "greedy_ids") continue;
    ++compared;
    const auto found = recorder.recorded().find(tensor.name);
    ASSERT_NE(found, recorder.recorded().end()) << tensor.name << " was not recorded";
    EXPECT_LE(relative_error(found->second, golden_values(tensor.name)), kTolerance) << tensor.name;
  }
  EXPECT_GT(compared, 10);
}

TEST_P(Golden, GreedyContinuationEqualsTransformers) {
  Context context({.backend = GetParam().backend, .threads = 2});
  Forward forward(model_, context);
  const std::vector<int32_t> expected = ids_of(golden_, "greedy_ids");
  ASSERT_EQ(expected.size(), 24U);
  Sequence sequence(model_.config());
  sequence.start(ids_, {.max_new_tokens = static_cast<int64_t>(expected.size())});
  Generator(forward).run(sequence);
  EXPECT_THAT(std::vector(sequence.generated().begin(), sequence.generated().end()),
              ::testing::ElementsAreArray(expected));
}

TEST_P(Golden, ChunkedPrefillAndSteppedDecodeGiveTheSameLogits) {
  Context context({.backend = GetParam().backend, .threads = 2});
  Forward forward(model_, context);
  const std::vector<float> whole = run_in_chunks(forward, ids_, forward.chunk_tokens());
  for (const int64_t chunk : {1, 2, 5, 16}) {
    const std::vector<float> chunked = run_in_chunks(forward, ids_, chunk);
    if (model_.config().attention == AttentionKind::kGqa) {
      EXPECT_EQ(chunked, whole) << "chunks of " << chunk;  // bit for bit: no sum depends on the batch
    } else {
      // Latent attention goes from its expanded to its absorbed form.
      EXPECT_LE(relative_error(chunked, whole), 1e-5F) << "chunks of " << chunk;
    }
  }
}

TEST_P(Golden, ThreadCountDoesNotChangeABit) {
  std::vector<float> first;
  for (const int threads : {1, 3}) {
    Context context({.backend = GetParam().backend, .threads = threads});
    Forward forward(model_, context);
    const std::vector<float> logits = run_in_chunks(forward, ids_, 7);
    if (first.empty()) first = logits;
    EXPECT_EQ(logits, first) << threads << " threads";
  }
}

TEST_P(Golden, ATruncatedCacheGoesOnAsIfTheRestHadNotBeen) {
  Context context({.backend = GetParam().backend, .threads = 1});
  Forward forward(model_, context);
  KvCache kv(model_.config());
  const std::span<const int32_t> ids(ids_);
  forward.run(ids, kv);
  kv.truncate(4);
  const ConstTensorView out = forward.run(ids.subspan(4), kv);
  const std::vector<float> again(out.as<float>(), out.as<float>() + out.shape.element_count());
  const std::vector<float> whole = run_in_chunks(forward, ids, forward.chunk_tokens());
  EXPECT_LE(relative_error(again, std::span(whole).last(again.size())), 1e-5F);
}

INSTANTIATE_TEST_SUITE_P(Fixtures, Golden, ::testing::ValuesIn(cases()), [](const auto& test) {
  return test.param.dir.filename().string() + "_" + test.param.backend;
});

TEST(Fixtures, AreThere) { EXPECT_EQ(testing::fixture_dirs().size(), 52U); }

}  // namespace
}  // namespace glimmer

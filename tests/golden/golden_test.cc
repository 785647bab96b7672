// Every fixture on every backend, and on a device whose memory the host cannot touch, against what transformers
// computed: logits, named intermediates, greedy continuation; and the forward pass against itself: in chunks, token by
// token, on several threads.
#include <gmock/gmock.h>

#include <cmath>
#include <map>
#include <string>

#include "engine/generate.h"
#include "engine/local_runner.h"
#include "format/safetensors.h"
#include "model/forward.h"
#include "source/model_source.h"
#include "support/fenced_device.h"
#include "support/paths.h"

namespace glimmer {
namespace {

constexpr const char* kFenced = "fenced";

struct Case {
  std::filesystem::path dir;
  std::string backend;  // or kFenced: the fastest, in memory of its own
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.dir.filename().string() << " on " << c.backend; }

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const auto& dir : testing::fixture_dirs()) {
    for (const kernels::KernelTable* table : kernels::all_tables()) {
      if (table->supported()) all.push_back({dir, std::string(table->name)});
    }
    all.push_back({dir, kFenced});
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
class Recorder : public Probe {
 public:
  bool wants(std::string_view /*what*/, int64_t /*layer*/) const override { return true; }
  void take(std::string_view what, int64_t layer, ConstTensorView value) override {
    std::vector<float>& values = recorded_[intermediate_name(what, layer)];
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
  KvCache kv = forward.make_cache();
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

// A device, and a context on it.
struct Opened {
  Opened(std::unique_ptr<Device> opened, Precision precision)
      : device(std::move(opened)), context(*device, precision, kv_type_of(precision)) {}
  std::unique_ptr<Device> device;
  Context context;
};

class Golden : public ::testing::TestWithParam<Case> {
 protected:
  Golden()
      : golden_(GetParam().dir / "golden.safetensors"),
        device_(open(2)),
        model_(Model::load(ModelSource::open(GetParam().dir), *device_)),
        ids_(ids_of(golden_, "input_ids")) {}

  // All on one memory.
  std::unique_ptr<Device> open(int threads) {
    if (GetParam().backend != kFenced) return open_device({.backend = GetParam().backend, .threads = threads});
    if (memory_ == nullptr) memory_ = std::make_shared<testing::FencedMemory>();
    return std::make_unique<testing::FencedDevice>(DeviceOptions{.threads = threads}, memory_);
  }
  Opened open(Precision precision, int threads = 2) { return {open(threads), precision}; }

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
  std::shared_ptr<testing::FencedMemory> memory_;
  std::unique_ptr<Device> device_;
  Model model_;
  std::vector<int32_t> ids_;
};

TEST_P(Golden, LogitsAndEveryNamedIntermediateEqualTransformers) {
  Opened opened = open(Precision::kExact);
  Context& context = opened.context;
  Recorder recorder;
  context.set_probe(&recorder);
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
  Opened opened = open(Precision::kExact);
  Context& context = opened.context;
  LocalRunner runner(model_, context);
  const std::vector<int32_t> expected = ids_of(golden_, "greedy_ids");
  ASSERT_EQ(expected.size(), 24U);
  Sequence sequence(runner);
  sequence.start(ids_, {.max_new_tokens = static_cast<int64_t>(expected.size())});
  Generator(runner).run(sequence);
  EXPECT_THAT(std::vector(sequence.generated().begin(), sequence.generated().end()),
              ::testing::ElementsAreArray(expected));
}

constexpr Precision kPrecisions[] = {Precision::kFast, Precision::kExact};

TEST_P(Golden, ChunkedPrefillAndSteppedDecodeDoNotChangeABit) {
  for (const Precision precision : kPrecisions) {
    Opened opened = open(precision);
    Context& context = opened.context;
    Forward forward(model_, context);
    const std::vector<float> whole = run_in_chunks(forward, ids_, forward.chunk_tokens());
    for (const int64_t chunk : {1, 2, 5, 16}) {
      EXPECT_EQ(run_in_chunks(forward, ids_, chunk), whole) << "chunks of " << chunk;
    }
  }
}

TEST_P(Golden, ThreadCountDoesNotChangeABit) {
  for (const Precision precision : kPrecisions) {
    std::vector<float> first;
    for (const int threads : {1, 3}) {
      Opened opened = open(precision, threads);
      Forward forward(model_, opened.context);
      const std::vector<float> logits = run_in_chunks(forward, ids_, 7);
      if (first.empty()) first = logits;
      EXPECT_EQ(logits, first) << threads << " threads";
    }
  }
}

// Sequences of other lengths and depths: some begin, some go on by one token, some by several.
TEST_P(Golden, ABatchGivesEachSequenceWhatItHasAlone) {
  const std::span<const int32_t> ids(ids_);
  struct Part {
    size_t past;
    size_t tokens;
  };
  const Part parts[] = {{0, 3}, {4, 1}, {ids.size() - 1, 1}, {1, 5}, {0, 1}};
  for (const Precision precision : kPrecisions) {
    Opened opened = open(precision);
    Context& context = opened.context;
    Forward forward(model_, context);
    const auto pool = std::make_shared<KvPool>(model_.config(), context.kv_type(), 64, context.device().memory());
    std::vector<KvCache> caches;
    std::vector<SequenceTokens> batch;
    std::vector<float> last;
    std::vector<float> all;
    for (const Part& part : parts) {
      const auto tokens = ids.subspan(part.past, part.tokens);
      KvCache alone = forward.make_cache();
      caches.emplace_back(pool);
      for (KvCache* kv : {&alone, &caches.back()}) {
        if (part.past > 0) forward.run(ids.first(part.past), *kv, LogitsFor::kNone);
      }
      const ConstTensorView logits = forward.run(tokens, alone, LogitsFor::kAllTokens);
      const std::span<const float> values(logits.as<float>(), static_cast<size_t>(logits.shape.element_count()));
      all.insert(all.end(), values.begin(), values.end());
      const auto row = values.last(static_cast<size_t>(model_.config().vocab_size));
      last.insert(last.end(), row.begin(), row.end());
    }
    for (size_t i = 0; i < caches.size(); ++i) {
      batch.push_back({.tokens = ids.subspan(parts[i].past, parts[i].tokens), .kv = &caches[i]});
    }
    for (const LogitsFor which : {LogitsFor::kLastToken, LogitsFor::kAllTokens}) {
      const std::vector<float>& expected = which == LogitsFor::kAllTokens ? all : last;
      for (SequenceTokens& s : batch) {
        s.logits_rows = which == LogitsFor::kAllTokens ? static_cast<int64_t>(s.tokens.size()) : 1;
      }
      forward.run(batch);
      const ConstTensorView logits = forward.logits();
      const std::vector<float> got(logits.as<float>(), logits.as<float>() + logits.shape.element_count());
      EXPECT_EQ(got, expected) << precision_name(precision);
      for (size_t i = 0; i < caches.size(); ++i) {
        EXPECT_EQ(caches[i].size_tokens(), static_cast<int64_t>(parts[i].past + parts[i].tokens));
        caches[i].truncate(static_cast<int64_t>(parts[i].past));
      }
    }
  }
}

TEST_P(Golden, ATruncatedCacheGoesOnAsIfTheRestHadNotBeen) {
  Opened opened = open(Precision::kFast, 1);
  Forward forward(model_, opened.context);
  KvCache kv = forward.make_cache();
  const std::span<const int32_t> ids(ids_);
  forward.run(ids, kv);
  kv.truncate(4);
  const ConstTensorView out = forward.run(ids.subspan(4), kv);
  const std::vector<float> again(out.as<float>(), out.as<float>() + out.shape.element_count());
  const std::vector<float> whole = run_in_chunks(forward, ids, forward.chunk_tokens());
  EXPECT_EQ(again, std::vector(whole.end() - static_cast<std::ptrdiff_t>(again.size()), whole.end()));
}

INSTANTIATE_TEST_SUITE_P(Fixtures, Golden, ::testing::ValuesIn(cases()), [](const auto& test) {
  return test.param.dir.filename().string() + "_" + test.param.backend;
});

TEST(Fixtures, AreThere) { EXPECT_EQ(testing::fixture_dirs().size(), 52U); }

}  // namespace
}  // namespace glimmer

// The demo model through every format and type: it runs; what loses nothing answers the same; what loses something
// loses in line with its bits.
#include <gmock/gmock.h>

#include <map>

#include "base/mapped_file.h"
#include "convert/convert.h"
#include "engine/evaluate.h"
#include "engine/local_runner.h"
#include "model/forward.h"
#include "support/paths.h"
#include "support/temp_dir.h"
#include "text/tokenizer.h"

namespace glimmer::convert {
namespace {

namespace fs = std::filesystem;

struct Pair {
  std::string format;
  std::string type;
  double max_kld;  // mean over the text, nats a token; 0: loses nothing. Twice what was measured
};

// Ascending bits within a group: none of a group may lose more than the one before it.
const std::vector<std::vector<Pair>> kGroups = {
    {{"gguf", "f16", 0}, {"gguf", "bf16", 0}, {"gguf", "f32", 0}},
    {{"hf", "f16", 0}, {"hf", "bf16", 0}, {"hf", "f32", 0}},
    {{"mlx", "f16", 0}, {"mlx", "bf16", 0}, {"mlx", "f32", 0}},
    {{"dllama", "f16", 0}, {"dllama", "f32", 0}},
    {{"gguf", "q2_k", 0.07},
     {"gguf", "q3_k", 0.018},
     {"gguf", "q4_k", 0.0045},
     {"gguf", "q5_k", 0.0018},
     {"gguf", "q6_k", 0.0003}},
    {{"gguf", "q4_0", 0.01}, {"gguf", "q5_0", 0.0024}, {"gguf", "q8_0", 0.00004}},
    {{"gguf", "q4_1", 0.007}, {"gguf", "q5_1", 0.0018}, {"gguf", "q8_0", 0.00004}},
    {{"gguf", "mxfp4", 0.015}, {"gguf", "iq4_nl", 0.007}, {"gguf", "q8_0", 0.00004}},
    {{"gguf", "iq4_xs", 0.007}, {"gguf", "q5_k", 0.0018}},
    {{"mlx", "mlx2", 0.7},
     {"mlx", "mlx3", 0.045},
     {"mlx", "mlx4", 0.011},
     {"mlx", "mlx5", 0.0028},
     {"mlx", "mlx6", 0.0007},
     {"mlx", "mlx8", 0.0001}},
    {{"dllama", "q40", 0.01}, {"dllama", "q80", 0.00004}},
    {{"dllama", "q4_0", 0.01}, {"dllama", "q8_0", 0.00004}},
    {{"hf", "nf4", 0.01}, {"hf", "fp8", 0.0012}},
};

// What sums in another order may differ by where no weight does.
constexpr double kRounding = 1e-9;

// Activations of 8 bits lose about as much as weights of 8 bits do, and a little more where weights are far off.
constexpr double kMostFastKld = 6e-4;

class EveryType : public ::testing::Test {
 protected:
  static constexpr int64_t kGreedyTokens = 24;

  EveryType()
      : context_({.threads = 2, .precision = Precision::kExact}),
        fast_context_({.threads = 2, .precision = Precision::kFast}),
        source_(Model::load(testing::source_dir() / "models/demo")) {
    const Tokenizer tokenizer = Tokenizer::from_file(testing::source_dir() / "models/demo");
    const std::string text = read_file(testing::source_dir() / "models/demo/eval/text.txt");
    ids_ = tokenizer.encode(std::string_view(text).substr(0, 3000));
  }

  std::vector<int32_t> greedy(const Model& model) {
    Forward forward(model, context_);
    KvCache kv(model.config());
    std::vector<int32_t> tokens(ids_.begin(), ids_.begin() + 20);
    std::vector<int32_t> next = tokens;
    for (int64_t i = 0; i < kGreedyTokens; ++i) {
      const ConstTensorView logits = forward.run(next, kv);
      const auto* values = logits.as<float>();
      next = {static_cast<int32_t>(std::max_element(values, values + logits.shape[1]) - values)};
      tokens.push_back(next[0]);
    }
    return tokens;
  }

  double kld_of(const Model& model) {
    LocalRunner base(source_, context_);
    LocalRunner other(model, context_);
    return measure_kld(base, other, TextWindows(ids_, {.context = 128, .max_windows = 3})).kld.value;
  }

  // What fast precision loses against exact, of the same weights.
  double fast_kld_of(const Model& model) {
    LocalRunner exact(model, context_);
    LocalRunner fast(model, fast_context_);
    return measure_kld(exact, fast, TextWindows(ids_, {.context = 128, .max_windows = 1})).kld.value;
  }

  Context context_;
  Context fast_context_;
  Model source_;
  std::vector<int32_t> ids_;
};

TEST_F(EveryType, KeysAndValuesOf8BitsLoseLittle) {
  const std::map<KvType, double> most = {{KvType::kBF16, 2e-6}, {KvType::kInt8, 1e-5}, {KvType::kF8E4M3, 2e-4}};
  LocalRunner base(source_, context_);
  LocalRunner other(source_, context_);
  double before = 0;
  for (const auto& [type, most_kld] : most) {
    const KldResult result = measure_kld(base, other, TextWindows(ids_, {.context = 256, .max_windows = 3}), {}, type);
    const double kld = result.kld.value;
    RecordProperty(std::string(kv_type_name(type)), fmt::format("{:.7f}", kld));
    EXPECT_LE(kld, most_kld) << kv_type_name(type);
    EXPECT_GT(kld, before) << kv_type_name(type);  // in the order of their bits of mantissa
    before = kld;
  }
  EXPECT_EQ(measure_kld(base, other, TextWindows(ids_, {.context = 256, .max_windows = 1})).kld.value, 0);
}

TEST_F(EveryType, RunsAndLosesInLineWithItsBits) {
  const testing::TempDir dir;
  const std::vector<int32_t> expected = greedy(source_);
  ThreadPool pool(2);
  std::map<std::string, double> measured;
  for (const std::vector<Pair>& group : kGroups) {
    double before = std::numeric_limits<double>::infinity();
    for (const Pair& pair : group) {
      const std::string name = pair.format + " " + pair.type;
      if (!measured.contains(name)) {
        const fs::path to = dir.path() / (pair.type + (pair.format == "gguf"     ? ".gguf"
                                                       : pair.format == "dllama" ? ".m"
                                                                                 : ""));
        Conversion conversion(
            ModelSource::open(testing::source_dir() / "models/demo"), to,
            {.format = pair.format, .recipe = {.type = pair.type, .recipe = "uniform"}, .force = true});
        conversion.write(pool, {});
        conversion.verify(pool, {});
        const Model model = Model::load(to);
        measured[name] = kld_of(model);
        const double fast_kld = fast_kld_of(model);
        EXPECT_LE(fast_kld, kMostFastKld + pair.max_kld / 20) << name;
        RecordProperty(pair.format + "_" + pair.type + "_fast", fmt::format("{:.6f}", fast_kld));
        if (pair.max_kld == 0) {
          EXPECT_EQ(greedy(model), expected) << name;
        } else {
          EXPECT_EQ(greedy(model).size(), expected.size()) << name;
        }
        RecordProperty(pair.format + "_" + pair.type, fmt::format("{:.6f}", measured[name]));
        fs::remove_all(to);
      }
      EXPECT_LE(measured[name], pair.max_kld + kRounding) << name;
      EXPECT_LE(measured[name], before + kRounding) << name << " has more bits than the one before it";
      before = measured[name];
    }
  }
}

// Nobody forgets a row above: every type of every target is in it.
TEST_F(EveryType, TheTableIsWhole) {
  std::map<std::string, bool> listed;
  for (const auto& group : kGroups) {
    for (const Pair& pair : group) listed[pair.format + " " + pair.type] = true;
  }
  for (const Target* target : all_targets()) {
    for (const std::string_view type : target->types) {
      EXPECT_TRUE(listed.contains(fmt::format("{} {}", target->format, type))) << target->format << " " << type;
    }
  }
}

}  // namespace
}  // namespace glimmer::convert

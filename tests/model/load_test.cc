// Model::load on folders that are wrong in one place: the message names the tensor, expected and found.
#include <gmock/gmock.h>

#include <functional>

#include "base/error.h"
#include "base/mapped_file.h"
#include "format/checkpoint.h"
#include "format/safetensors.h"
#include "model/forward.h"
#include "model/weights.h"
#include "source/model_source.h"
#include "support/paths.h"
#include "support/temp_dir.h"

namespace glimmer {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// A copy of a fixture whose config and tensors a test may change.
struct EditableModel {
  explicit EditableModel(const std::string& fixture)
      : source(testing::source_dir() / "tests/fixtures" / fixture), checkpoint(Checkpoint::open(source)) {
    config = parse_json(read_file(source / "config.json"), "config");
    for (const TensorInfo* tensor : checkpoint.tensors()) {
      tensors.push_back({tensor->name, {tensor->data.data(), tensor->dtype, tensor->shape}});
    }
  }

  NamedTensor& tensor(std::string_view name) {
    for (NamedTensor& candidate : tensors) {
      if (candidate.name == name) return candidate;
    }
    throw std::runtime_error("no tensor " + std::string(name));
  }
  void remove(std::string_view name) {
    std::erase_if(tensors, [&](const NamedTensor& candidate) { return candidate.name == name; });
  }

  Model load() const {
    dir.write("config.json", config.dump());
    write_safetensors(dir.path() / "model.safetensors", tensors);
    return Model::load(dir.path());
  }

  std::string load_error() const {
    try {
      load();
    } catch (const Error& error) {
      return error.what();
    }
    ADD_FAILURE() << "no error";
    return "";
  }

  std::filesystem::path source;
  Checkpoint checkpoint;
  testing::TempDir dir;
  Json config;
  std::vector<NamedTensor> tensors;
};

constexpr const char* kGate = "model.layers.1.mlp.gate.weight";

TEST(Load, AnUnchangedCopyLoads) { EXPECT_EQ(EditableModel("glm4_moe_base").load().config().model_type, "glm4_moe"); }

TEST(Load, AMissingTensorIsNamed) {
  EditableModel model("glm4_moe_base");
  model.remove(kGate);
  EXPECT_THAT(model.load_error(), HasSubstr(kGate));
}

TEST(Load, AWrongShapeNamesTensorFieldsAndFile) {
  EditableModel model("glm4_moe_base");
  model.config["n_routed_experts"] = model.config["n_routed_experts"].get<int>() - 1;
  EXPECT_THAT(model.load_error(), AllOf(HasSubstr(kGate), HasSubstr("config.json says ["),
                                        HasSubstr("(n_routed_experts, hidden_size)"), HasSubstr("model.safetensors")));
}

TEST(Load, AWrongRankIsAWrongShape) {
  EditableModel model("glm4_moe_base");
  NamedTensor& norm = model.tensor("model.norm.weight");
  norm.value.shape = {1, norm.value.shape[0]};
  EXPECT_THAT(model.load_error(), AllOf(HasSubstr("model.norm.weight"), HasSubstr("(hidden_size)")));
}

TEST(Load, AWrongDtypeNamesTheKnownOnes) {
  EditableModel model("glm4_moe_base");
  NamedTensor& embed = model.tensor("model.embed_tokens.weight");
  embed.value.dtype = DType::kI32;
  EXPECT_THAT(model.load_error(),
              AllOf(HasSubstr("model.embed_tokens.weight: dtype I32"), HasSubstr("F32, BF16, F16, F8_E4M3")));
}

TEST(Load, Fp8WithoutScalesIsAnError) {
  EditableModel model("glm4_moe_fp8_channel");
  const auto scale = std::find_if(model.tensors.begin(), model.tensors.end(),
                                  [](const NamedTensor& tensor) { return tensor.name.ends_with(".weight_scale"); });
  ASSERT_NE(scale, model.tensors.end());
  const std::string name = scale->name;
  model.tensors.erase(scale);
  EXPECT_THAT(model.load_error(), AllOf(HasSubstr("F8_E4M3 without scales"), HasSubstr(name)));
}

TEST(Load, Fp8ScalesOfAnotherCountAreAnError) {
  EditableModel model("glm4_moe_fp8_channel");
  for (NamedTensor& tensor : model.tensors) {
    if (!tensor.name.ends_with("o_proj.weight_scale")) continue;
    tensor.value.shape = {tensor.value.shape[0] - 1, 1};
  }
  EXPECT_THAT(model.load_error(),
              AllOf(HasSubstr("o_proj.weight_scale: shape"), HasSubstr("a scale a row, or one in all")));
}

TEST(Load, ATiedHeadNeedsNoTensorAndAnUntiedOneDoes) {
  EditableModel model("glm4_moe_base");
  model.remove("lm_head.weight");
  EXPECT_THAT(model.load_error(), HasSubstr("lm_head.weight"));
  model.config["tie_word_embeddings"] = true;
  const Model tied = model.load();
  Context context({.threads = 1});
  Forward forward(tied, context);
  KvCache kv(tied.config());
  EXPECT_EQ(forward.run(std::vector<int32_t>{1, 2}, kv).shape, Shape({1, tied.config().vocab_size}));
}

TEST(Load, MatricesThatTwoMemoryNodesShareGiveTheSameLogits) {
  const Topology machine = synthetic_topology("numa:2 core:2 pu:1");
  for (const char* name : {"glm4_moe_base", "glm4_moe_lite_base", "glm4_moe_tied", "glm4_moe_lite_mlx4"}) {
    const std::shared_ptr<const ModelSource> source =
        ModelSource::open(testing::source_dir() / "tests/fixtures" / name);
    const Model plain = Model::load(source);
    const std::unique_ptr<Device> device = open_device({.threads = 2, .topology = machine});
    const Model shared = Model::load(source, *device);
    EXPECT_NE(shared.weights().lm_head.nodes == nullptr, name != std::string_view("glm4_moe_tied"));
    std::vector<std::vector<float>> logits;
    for (const Model* model : {&plain, &shared}) {
      Context context({.threads = 4, .topology = machine});
      Forward forward(*model, context);
      KvCache kv(model->config(), context.kv_type());
      const ConstTensorView out = forward.run(std::vector<int32_t>{1, 2, 3, 4, 5}, kv, LogitsFor::kAllTokens);
      logits.emplace_back(out.as<float>(), out.as<float>() + out.shape.element_count());
    }
    EXPECT_EQ(logits[0], logits[1]) << name;
  }
}

TEST(Load, AFolderWithoutConfigOrWeightsSaysSo) {
  const testing::TempDir dir;
  try {
    Model::load(dir.path());
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("config.json"));
  }
  dir.write("config.json", read_file(testing::source_dir() / "tests/fixtures/glm4_moe_base/config.json"));
  EXPECT_THROW(Model::load(dir.path()), Error);
  EXPECT_THROW(Model::load(dir.path() / "nowhere"), Error);
}

TEST(Load, ProgressReachesTheWholeAndMayStopIt) {
  const auto dir = testing::source_dir() / "tests/fixtures/glm4_moe_base";
  LoadProgress last;
  Model::load(dir, [&](const LoadProgress& progress) { last = progress; });
  EXPECT_EQ(last.done_bytes, last.total_bytes);
  EXPECT_GT(last.total_bytes, 0);
  EXPECT_THROW(Model::load(dir, [](const LoadProgress&) { fail(ErrorCode::kCancelled, "stopped"); }), Error);
}

TEST(Load, WeightsThatAreNotAlignedInTheFileGiveTheSameLogits) {
  const auto source = testing::source_dir() / "tests/fixtures/glm4_moe_base";
  const testing::TempDir dir;
  dir.write("config.json", read_file(source / "config.json"));
  // One more space in the header moves every tensor to an odd offset.
  const std::string bytes = read_file(source / "model.safetensors");
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, bytes.data(), 8);
  std::string moved = bytes.substr(8, header_bytes) + " ";
  const uint64_t longer = header_bytes + 1;
  moved.insert(0, reinterpret_cast<const char*>(&longer), 8);
  moved += bytes.substr(8 + header_bytes);
  dir.write("model.safetensors", moved);

  Context context({.threads = 1});
  std::vector<std::vector<float>> logits;
  for (const auto& folder : {source, dir.path()}) {
    const Model model = Model::load(folder);
    Forward forward(model, context);
    KvCache kv(model.config());
    const ConstTensorView out = forward.run(std::vector<int32_t>{5, 6, 7}, kv);
    logits.emplace_back(out.as<float>(), out.as<float>() + out.shape.element_count());
  }
  EXPECT_EQ(logits[0], logits[1]);
}

TEST(Forward, RefusesIdsOutsideTheVocabularyAndMoreThanTheContext) {
  const Model model = Model::load(testing::source_dir() / "tests/fixtures/glm4_moe_base");
  Context context({.threads = 1});
  Forward forward(model, context);
  KvCache kv(model.config());
  const auto error_of = [&](const std::vector<int32_t>& ids) -> std::string {
    try {
      forward.run(ids, kv);
    } catch (const Error& error) {
      return error.what();
    }
    return "none";
  };
  EXPECT_THAT(error_of({static_cast<int32_t>(model.config().vocab_size)}), HasSubstr("token id 72: expected 0 to 71"));
  EXPECT_THAT(error_of({-1}), HasSubstr("token id -1"));
  const std::vector<int32_t> most(static_cast<size_t>(model.config().max_position_embeddings), 3);
  EXPECT_EQ(error_of(most), "none");
  EXPECT_THAT(error_of({1}), HasSubstr("max_position_embeddings"));
  EXPECT_EQ(kv.size_tokens(), model.config().max_position_embeddings);
}

}  // namespace
}  // namespace glimmer

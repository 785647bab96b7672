// Model cards, and the tensors that a configuration promises.
#include "model/cards/cards.h"

#include <gmock/gmock.h>

#include <map>
#include <set>

#include "base/error.h"
#include "model/expected_tensors.h"
#include "model/summary.h"
#include "source/side_files.h"
#include "support/paths.h"

namespace glimmer {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

int64_t parameters_of(const std::vector<NamedShape>& tensors) {
  int64_t parameters = 0;
  for (const NamedShape& tensor : tensors) parameters += tensor.shape.element_count();
  return parameters;
}

std::string unknown_card(std::string_view name) {
  try {
    require_card(name);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUsage);
    return error.what();
  }
  ADD_FAILURE() << name << " is there";
  return "";
}

TEST(Cards, EveryCardIsAModelThatIsReadWithoutSurprise) {
  std::set<std::string_view> names;
  for (const ModelCard& card : all_cards()) {
    SCOPED_TRACE(card.name);
    EXPECT_TRUE(names.insert(card.name).second);
    const ModelConfig config = card_config(card);
    EXPECT_EQ(config.dtype, "bfloat16");
    EXPECT_EQ(config.eos_token_id.size(), 3U);
    for (const std::string& taken : config.defaults_taken) {
      // Left out by the published files as well.
      EXPECT_TRUE(taken == "rope_type = default" || taken == "rope_interleave = true") << taken;
    }
  }
}

// Billions of parameters as counted from the published checkpoints, MTP apart.
TEST(Cards, ParametersAreThoseOfTheReleases) {
  const std::map<std::string_view, double> billions = {
      {"GLM-4.5", 352.798},       {"GLM-4.5-Air", 106.852},    {"GLM-4.6", 352.798},     {"GLM-4.7", 352.798},
      {"GLM-4.7-Flash", 29.943},  {"INTELLECT-3", 106.852},    {"GLM-4-9B-0414", 9.400}, {"GLM-Z1-9B-0414", 9.400},
      {"GLM-4-32B-0414", 32.566}, {"GLM-Z1-32B-0414", 32.566}, {"glm-4-9b-chat", 9.400},
  };
  ASSERT_EQ(billions.size(), all_cards().size());
  for (const ModelCard& card : all_cards()) {
    const double here = static_cast<double>(parameters_of(expected_tensors(card_config(card)))) * 1e-9;
    EXPECT_NEAR(here, billions.at(card.name), 0.0006) << card.name;
  }
}

TEST(Cards, AreFoundByAnyOfTheirNames) {
  EXPECT_EQ(require_card("GLM-4.7-Flash").name, "GLM-4.7-Flash");
  EXPECT_EQ(require_card("zai-org/glm-4.7-flash").name, "GLM-4.7-Flash");
  EXPECT_EQ(require_card("flash").name, "GLM-4.7-Flash");
  EXPECT_EQ(require_card("glm_4.5_air").name, "GLM-4.5-Air");
}

TEST(Cards, AnUnknownNameGetsTheNearest) {
  EXPECT_THAT(unknown_card("GLM-4.7-Flsh"),
              AllOf(HasSubstr("\"GLM-4.7-Flsh\""), HasSubstr("nearest are GLM-4.7-Flash,")));
  EXPECT_THAT(unknown_card("glm-4.5-ari"), HasSubstr("nearest are GLM-4.5-Air,"));
  EXPECT_THAT(unknown_card(""), HasSubstr("glimmer models"));
}

TEST(Cards, LayersCutTheModel) {
  const ModelCard& flash = require_card("flash");
  const ModelConfig config = card_config(flash, 3);
  EXPECT_EQ(config.num_hidden_layers, 3);
  EXPECT_EQ(config.hidden_size, 2048);
  EXPECT_FALSE(config.is_sparse(0));
  EXPECT_TRUE(config.is_sparse(2));
  EXPECT_THROW(card_config(flash, 0), Error);
  EXPECT_THROW(card_config(flash, 48), Error);
}

class ExpectedTensors : public ::testing::TestWithParam<std::filesystem::path> {};

// Names and shapes of every published form are those of its files, but for MTP and what is left out of files of no
// size.
TEST_P(ExpectedTensors, AreThoseOfTheFixture) {
  const auto source = ModelSource::open(GetParam());
  const ModelConfig config = read_config(side_files_of(*source));
  const bool halves = source->find("model.layers.0.self_attn.embed_q.weight") != nullptr;
  std::map<std::string, std::string> expected;
  for (const NamedShape& tensor : expected_tensors(config, halves ? KvBForm::kHalves : KvBForm::kWhole)) {
    EXPECT_TRUE(expected.emplace(tensor.name, tensor.shape.to_string()).second) << tensor.name << " is there twice";
  }
  std::map<std::string, std::string> stored;
  for (const SourceTensor& tensor : source->tensors()) {
    if (tensor_role(tensor.name, config.num_hidden_layers) == TensorRole::kMtp) continue;
    if (tensor.shape.element_count() == 0) continue;
    if (config.tie_word_embeddings && tensor.name == "lm_head.weight") continue;
    stored.emplace(tensor.name, tensor.shape.to_string());
  }
  EXPECT_EQ(expected, stored);
}

INSTANTIATE_TEST_SUITE_P(Fixtures, ExpectedTensors, ::testing::ValuesIn(testing::fixture_dirs()),
                         [](const auto& fixture) { return fixture.param.filename().string(); });

TEST(ExpectedTensorsOf, ALayerOfFlashAreAsPublished) {
  std::map<std::string, std::string> shapes;
  const ModelConfig config = card_config(require_card("flash"), 2);
  for (const NamedShape& tensor : expected_tensors(config, KvBForm::kHalves)) {
    shapes[tensor.name] = tensor.shape.to_string();
  }
  EXPECT_EQ(shapes["model.layers.1.self_attn.q_b_proj.weight"], "[5120, 768]");
  EXPECT_EQ(shapes["model.layers.1.self_attn.kv_a_proj_with_mqa.weight"], "[576, 2048]");
  EXPECT_EQ(shapes["model.layers.1.self_attn.embed_q.weight"], "[10240, 192]");
  EXPECT_EQ(shapes["model.layers.1.self_attn.unembed_out.weight"], "[5120, 512]");
  EXPECT_EQ(shapes["model.layers.1.mlp.experts.63.down_proj.weight"], "[2048, 1536]");
  EXPECT_EQ(shapes["model.layers.0.mlp.down_proj.weight"], "[2048, 10240]");
  EXPECT_EQ(shapes.count("model.layers.1.self_attn.kv_b_proj.weight"), 0U);
  EXPECT_EQ(shapes.count("model.layers.2.input_layernorm.weight"), 0U);
}

}  // namespace
}  // namespace glimmer

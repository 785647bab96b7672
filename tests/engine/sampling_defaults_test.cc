// What a request leaves open is as the model's makers mean it.
#include "engine/sampling_defaults.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/cards/cards.h"

namespace glimmer {
namespace {

ModelConfig shape_of(std::string_view card) { return card_config(require_card(card)); }

SamplingDefaults defaults_of(std::string_view card, std::string_view path, const GenerationConfig& generation = {}) {
  return sampling_defaults(generation, shape_of(card), path);
}

TEST(SamplingDefaults, AreTheFilesIfItSaysAnything) {
  GenerationConfig generation;
  generation.do_sample = true;
  EXPECT_EQ(defaults_of("GLM-4.5-Air", "GLM-4.5-Air", generation).describe(), "temperature 1 (generation_config.json)");
  generation.do_sample = false;
  generation.temperature = 0.3;
  EXPECT_EQ(defaults_of("GLM-4.5-Air", "GLM-4.5-Air", generation).describe(), "greedy (generation_config.json)");
  generation.do_sample.reset();  // as the released GLM-4.6 has it
  generation.top_p = 0.9;
  EXPECT_EQ(defaults_of("GLM-4.5-Air", "GLM-4.5-Air", generation).describe(),
            "temperature 0.3, top_p 0.9 (generation_config.json)");
}

TEST(SamplingDefaults, AreThoseOfTheReleasedModelWhereTheFileIsSilent) {
  GenerationConfig generation;
  generation.repetition_penalty = 1.1;  // says nothing of sampling
  const SamplingDefaults air = defaults_of("GLM-4.5-Air", "/m/GLM-4.5-Air-Q4_K_M.gguf", generation);
  EXPECT_EQ(air.describe(), "temperature 0.6, top_p 0.95 (the card of GLM-4.5-Air)");
  EXPECT_EQ(air.repetition_penalty, 1.1);
  EXPECT_EQ(defaults_of("GLM-4.5-Air", "~/.cache/models--PrimeIntellect--INTELLECT-3/snapshots/0a").describe(),
            "temperature 0.6 (the card of INTELLECT-3)");
  EXPECT_EQ(defaults_of("GLM-4.7-Flash", "anything").describe(),
            "temperature 1, top_p 0.95 (the card of GLM-4.7-Flash)");
  EXPECT_EQ(defaults_of("GLM-4.5", "x").describe(), "temperature 0.6, top_p 0.95 (the card of GLM-4.5)");
  EXPECT_EQ(defaults_of("GLM-4.6", "x/glm_4.7/y").describe(), "temperature 1, top_p 0.95 (the card of GLM-4.7)");
  EXPECT_TRUE(defaults_of("GLM-4.6", "x").samples);  // 4.6 and 4.7 agree
  EXPECT_EQ(defaults_of("GLM-Z1-9B-0414", "GLM-Z1-9B-0414").describe(),
            "temperature 0.6, top_k 40, top_p 0.95 (the card of GLM-Z1-9B-0414)");
}

TEST(SamplingDefaults, AreGreedyWhereNothingTells) {
  EXPECT_FALSE(defaults_of("GLM-4.5-Air", "x").samples);                // it may be INTELLECT-3
  EXPECT_FALSE(defaults_of("GLM-4-9B-0414", "GLM-4-9B-0414").samples);  // its makers say nothing
  ModelConfig other = shape_of("GLM-4.5-Air");
  other.num_hidden_layers = 10;
  const SamplingDefaults unknown = sampling_defaults({}, other, "GLM-4.5-Air");
  EXPECT_FALSE(unknown.samples);
  EXPECT_THAT(unknown.describe(), ::testing::StartsWith("greedy (neither"));
}

TEST(SamplingDefaults, RequestsWin) {
  const SamplingDefaults air = defaults_of("GLM-4.5-Air", "GLM-4.5-Air");
  SamplingParams params = resolve_sampling({}, air, 7);
  EXPECT_EQ(params.temperature, 0.6);
  EXPECT_EQ(params.top_p, 0.95);
  EXPECT_EQ(params.seed, 7u);
  params = resolve_sampling({.temperature = 0, .seed = 9}, air, 7);
  EXPECT_TRUE(params.greedy());
  EXPECT_EQ(params.seed, 9u);
  EXPECT_TRUE(resolve_sampling({}, {}, 1).greedy());
  EXPECT_EQ(resolve_sampling({.top_p = 0.5}, {}, 1).temperature, 1);  // who cuts means to sample
  EXPECT_EQ(resolve_sampling({.top_p = 0.5}, air, 1).temperature, 0.6);
}

}  // namespace
}  // namespace glimmer

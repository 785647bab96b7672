// A model family: how to read its config.json, which tensors a layer has, and what a layer computes.
// A new family of known blocks is one file in families/ and one row in registry.cc.
#pragma once

#include <span>
#include <string_view>

#include "model/config.h"

namespace glimmer {

class ConfigReader;
class WeightBinder;
struct LayerWeights;
struct LayerPass;

struct Family {
  std::string_view model_type;    // of config.json
  std::string_view architecture;  // config.json's architectures[0]
  std::string_view models;        // the released models, for people

  // What its checkpoints' layers have that config.json does not say.
  bool gate_and_up_in_one = false;  // mlp.gate_up_proj in dense layers, the gate's rows first
  bool norms_after_blocks = false;  // post_self_attn_layernorm and post_mlp_layernorm

  // Fills what is the family's own; the fields that all share are read already.
  void (*read_config)(ConfigReader& reader, ModelConfig& config);
  void (*bind_layer)(WeightBinder& binder, const ModelConfig& config, LayerWeights& layer);
  void (*forward_layer)(LayerPass& pass);
};

std::span<const Family* const> all_families();

// Throws kUnsupported for an unknown model_type, listing the known ones.
const Family& family_of(std::string_view model_type, std::string_view source);

}  // namespace glimmer

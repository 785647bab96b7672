// The decoder layer that most families share, and the arguments of layer functions.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "model/config.h"
#include "model/pass_memory.h"
#include "model/weights.h"
#include "ops/attention.h"
#include "ops/context.h"

namespace glimmer {

struct LayerPass {
  Context& ctx;
  const ModelConfig& config;
  const Placement& placement;
  const LayerWeights& weights;
  PassMemory& a;
  const Batch& batch;
  KvLayer kv;  // of this layer
  RopeTable rope;
  int64_t layer = 0;
  int64_t tokens = 0;  // rows of the batch

  // Makes rows whole of which each rank has the columns that `cut` says; null: they are.
  void gather(const std::shared_ptr<const RowCut>& cut, TensorView rows, std::string_view what) const;

  // Of this layer, to the context's probe; an empty name stands for the layer's own output.
  bool wants(std::string_view what) const { return ctx.wants(what, layer); }
  void record(std::string_view what, ConstTensorView value) const { ctx.record(what, layer, value); }
  // The same for rows `stride` values apart.
  void record_rows(std::string_view what, const float* data, int64_t columns, int64_t stride) const;
};

// Binds input_layernorm, post_attention_layernorm, and attention and feed-forward of the kinds that config names.
void bind_pre_norm_layer(WeightBinder& binder, const ModelConfig& config, LayerWeights& layer);

// hidden += self_attn(input_layernorm(hidden)); hidden += mlp(post_attention_layernorm(hidden))
void forward_pre_norm_layer(LayerPass& pass);

// a.attn_out = self_attn(a.normed) and a.mlp_out = mlp(a.normed), of the kinds that the layer's weights have.
void self_attention(LayerPass& pass);
void feed_forward(LayerPass& pass);

}  // namespace glimmer

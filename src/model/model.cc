#include "model/model.h"

#include <numeric>

#include "base/error.h"
#include "model/family.h"
#include "model/weights.h"
#include "ops/device.h"
#include "source/side_files.h"

namespace glimmer {
namespace {

int64_t bytes_of(const GqaWeights& gqa) {
  return size_bytes(gqa.q_proj) + size_bytes(gqa.k_proj) + size_bytes(gqa.v_proj) + size_bytes(gqa.o_proj);
}

int64_t bytes_of(const MlaWeights& mla) {
  int64_t bytes = size_bytes(mla.q_proj) + size_bytes(mla.q_a_proj) + size_bytes(mla.q_b_proj) +
                  size_bytes(mla.kv_a_proj_with_mqa) + size_bytes(mla.o_proj);
  for (const LinearWeight& head : mla.k_b) bytes += size_bytes(head);
  for (const LinearWeight& head : mla.v_b) bytes += size_bytes(head);
  return bytes;
}

void count_layer(const LayerWeights& layer, WeightBytes& bytes) {
  int64_t& one_expert = bytes.one_expert.emplace_back(0);
  int64_t always = 0;
  if (const auto* gqa = std::get_if<GqaWeights>(&layer.self_attn)) always += bytes_of(*gqa);
  if (const auto* mla = std::get_if<MlaWeights>(&layer.self_attn)) always += bytes_of(*mla);
  if (const auto* dense = std::get_if<MlpWeights>(&layer.mlp)) always += size_bytes(*dense);
  if (const auto* sparse = std::get_if<MoeWeights>(&layer.mlp)) {
    always += size_bytes(sparse->gate) + size_bytes(sparse->shared_experts);
    bytes.total += sparse->experts->size_bytes();
    one_expert = sparse->experts->one_expert_bytes();
  }
  bytes.every_step += always;
  bytes.total += always;
}

}  // namespace

Model::Model() = default;
Model::Model(Model&&) noexcept = default;
Model::~Model() = default;

Model Model::load(std::shared_ptr<const ModelSource> source, const ProgressCallback& progress) {
  const std::unique_ptr<Device> device = open_device({});
  return load(std::move(source), *device, progress);
}

Model Model::load(std::shared_ptr<const ModelSource> source, Device& device, const ProgressCallback& progress) {
  Placement whole = whole_model(read_config(side_files_of(*source)));
  return load(std::move(source), device, std::move(whole), progress);
}

Model Model::load(std::shared_ptr<const ModelSource> source, Device& device, Placement placement,
                  const ProgressCallback& progress) {
  const SideFiles files = side_files_of(*source);
  Model model;
  model.config_ = read_config(files);
  model.generation_config_ = read_generation_config(files, model.config_);
  model.family_ = &family_of(model.config_.model_type, model.config_.source);
  model.placement_ = std::move(placement);
  model.weights_ = bind_weights(std::move(source), *model.family_, model.config_, model.placement_, device, progress);
  return model;
}

Model Model::load(const std::filesystem::path& path, const ProgressCallback& progress) {
  return load(std::shared_ptr<const ModelSource>(ModelSource::open(path)), progress);
}

WeightBytes Model::weight_bytes() const {
  WeightBytes bytes;
  for (const LayerWeights& layer : weights_->layers) count_layer(layer, bytes);
  bytes.every_step += size_bytes(weights_->lm_head);
  bytes.total += size_bytes(weights_->lm_head);
  const WeightMatrix& embed_tokens = weights_->embed_tokens;
  if (!embed_tokens.empty() && embed_tokens.data != weights_->lm_head.weight.data) {
    bytes.total += size_bytes(embed_tokens);
  }
  return bytes;
}

int64_t Model::active_weight_bytes() const {
  const WeightBytes bytes = weight_bytes();
  return std::accumulate(bytes.one_expert.begin(), bytes.one_expert.end(), int64_t{0}) * config_.num_experts_per_tok +
         bytes.every_step;
}

}  // namespace glimmer

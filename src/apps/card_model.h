// A model known only by its card: its tensors, and its size in a given type.
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "engine/workload.h"
#include "model/cards/cards.h"
#include "model/placement.h"
#include "model/summary.h"
#include "quant/quant_type.h"
#include "source/synthetic_source.h"

namespace glimmer::apps {

struct CardModel {
  const ModelCard* card = nullptr;
  ModelConfig config;
  std::vector<NamedShape> tensors;  // kv_b_proj in halves
  ModelSummary summary;
};
// Throws kUsage as require_card and card_config do.
CardModel card_model(const ModelCard& card, std::optional<int64_t> layers = std::nullopt);

struct CardSize {
  int64_t file_bytes = 0;
  int64_t memory_bytes = 0;    // of all weights as kernels read them, vectors among them
  double bits_per_weight = 0;  // in the file
  WeightBytes memory;
};
CardSize size_in_type(const CardModel& model, const QuantType& type);

// A tensor of a model, in the type that its file has it in.
struct TypedTensor {
  NamedShape tensor;
  TensorType type;
};
std::vector<TypedTensor> typed_tensors(const CardModel& model, const QuantType& type);
std::vector<TypedTensor> typed_tensors(const ModelSource& source);  // without those that no model could use

// Memory of the weights of each layer.
std::vector<double> layer_bytes(const ModelConfig& config, std::span<const TypedTensor> tensors);

struct RankSize {
  int64_t weights_bytes = 0;
  int64_t kv_bytes_per_token = 0;  // in the type of fast precision
};
RankSize size_of_rank(const ModelConfig& config, std::span<const TypedTensor> tensors, const Placement& placement);

}  // namespace glimmer::apps

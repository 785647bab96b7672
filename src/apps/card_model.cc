#include "apps/card_model.h"

#include "model/expected_tensors.h"
#include "model/kv_cache.h"
#include "model/tensor_names.h"

namespace glimmer::apps {

CardModel card_model(const ModelCard& card, std::optional<int64_t> layers) {
  CardModel model{.card = &card, .config = card_config(card, layers)};
  model.tensors = expected_tensors(model.config, KvBForm::kHalves);
  std::vector<SourceTensor> counted;
  counted.reserve(model.tensors.size());
  for (const NamedShape& tensor : model.tensors) counted.push_back({.name = tensor.name, .shape = tensor.shape});
  model.summary = summarize(model.config, counted);
  return model;
}

CardSize size_in_type(const CardModel& model, const QuantType& type) {
  CardSize size;
  std::vector<SizedTensor> sized;
  sized.reserve(model.tensors.size());
  for (const NamedShape& tensor : model.tensors) {
    const TensorType own = type_in_file(type, tensor);
    sized.push_back({tensor, memory_bytes(own, tensor.shape)});
    size.file_bytes += file_bytes(own, tensor.shape);
    size.memory_bytes += sized.back().bytes;
  }
  size.bits_per_weight = 8 * static_cast<double>(size.file_bytes) / static_cast<double>(model.summary.total.parameters);
  size.memory = weight_bytes_of(model.config, sized);
  return size;
}

std::vector<TypedTensor> typed_tensors(const CardModel& model, const QuantType& type) {
  std::vector<TypedTensor> typed;
  typed.reserve(model.tensors.size());
  for (const NamedShape& tensor : model.tensors) typed.push_back({tensor, type_in_file(type, tensor)});
  return typed;
}

std::vector<TypedTensor> typed_tensors(const ModelSource& source) {
  std::vector<TypedTensor> typed;
  for (const SourceTensor& tensor : source.tensors()) {
    const int rank = tensor.shape.rank();
    if (tensor.data.type == nullptr || rank < 1 || rank > 2 || tensor.shape.element_count() == 0) continue;
    typed.push_back({{tensor.name, tensor.shape}, {tensor.data.type, tensor.data.params}});
  }
  return typed;
}

std::vector<double> layer_bytes(const ModelConfig& config, std::span<const TypedTensor> tensors) {
  std::vector<double> bytes(static_cast<size_t>(config.num_hidden_layers), 0);
  for (const TypedTensor& typed : tensors) {
    const std::optional<int64_t> layer = layer_index(typed.tensor.name);
    if (!layer || *layer >= config.num_hidden_layers) continue;  // the rest is for multi-token prediction
    bytes[static_cast<size_t>(*layer)] += static_cast<double>(memory_bytes(typed.type, typed.tensor.shape));
  }
  return bytes;
}

RankSize size_of_rank(const ModelConfig& config, std::span<const TypedTensor> tensors, const Placement& placement) {
  RankSize size;
  for (const TypedTensor& typed : tensors) {
    const Shape& shape = typed.tensor.shape;
    const int64_t held = rows_held(placement, config, typed.tensor.name, shape[0]);
    if (held == 0) continue;
    size.weights_bytes += memory_bytes(typed.type, shape.rank() == 1 ? Shape({held}) : Shape({held, shape[1]}));
  }
  size.kv_bytes_per_token = KvCache::bytes_per_token(config, kv_type_of(Precision::kFast), placement);
  return size;
}

}  // namespace glimmer::apps

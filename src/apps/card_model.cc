#include "apps/card_model.h"

#include "model/expected_tensors.h"
#include "model/kv_cache.h"
#include "model/tensor_names.h"
#include "source/synthetic_source.h"

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

std::vector<double> layer_bytes(const CardModel& model, const QuantType& type) {
  std::vector<double> bytes(static_cast<size_t>(model.config.num_hidden_layers), 0);
  for (const NamedShape& tensor : model.tensors) {
    const std::optional<int64_t> layer = layer_index(tensor.name);
    if (layer) bytes[static_cast<size_t>(*layer)] += memory_bytes(type_in_file(type, tensor), tensor.shape);
  }
  return bytes;
}

RankSize size_of_rank(const CardModel& model, const QuantType& type, const Placement& placement) {
  RankSize size;
  for (const NamedShape& tensor : model.tensors) {
    const int64_t rows = tensor.shape[0];
    const int64_t held = rows_held(placement, model.config, tensor.name, rows);
    if (held == 0) continue;
    const Shape part = tensor.shape.rank() == 1 ? Shape({held}) : Shape({held, tensor.shape[1]});
    size.weights_bytes += memory_bytes(type_in_file(type, tensor), part);
  }
  size.kv_bytes_per_token = KvCache::bytes_per_token(model.config, kv_type_of(Precision::kFast), placement);
  return size;
}

}  // namespace glimmer::apps

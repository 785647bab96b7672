#include "apps/card_model.h"

#include "model/expected_tensors.h"
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

}  // namespace glimmer::apps

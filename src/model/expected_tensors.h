// The tensors that a model must have according to its configuration: for models that are not downloaded (model/cards),
// and to check those that are.
#pragma once

#include <vector>

#include "model/config.h"
#include "tensor/named_shape.h"

namespace glimmer {

// MLA's kv_b_proj as one tensor, as in transformers, or in the halves embed_q and unembed_out (source/model_source.h).
enum class KvBForm { kWhole, kHalves };

// Every tensor of a model by its canonical name and shape ([out, in], or [n]): embedding and head first and
// last, experts one by one; those for multi-token prediction are not among them.
std::vector<NamedShape> expected_tensors(const ModelConfig& config, KvBForm kv_b = KvBForm::kWhole);

}  // namespace glimmer

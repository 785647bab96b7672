// A model's weights by role, and the binder with which families load them by name.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "model/layers/attention_gqa.h"
#include "model/layers/attention_mla.h"
#include "model/layers/moe.h"
#include "model/model.h"
#include "model/placement.h"
#include "ops/linear.h"

namespace glimmer {

struct LayerWeights {
  ConstTensorView input_layernorm;           // [hidden_size] f32
  ConstTensorView post_attention_layernorm;  // [hidden_size]
  ConstTensorView post_self_attn_layernorm;  // [hidden_size], glm4
  ConstTensorView post_mlp_layernorm;        // [hidden_size], glm4
  std::variant<std::monostate, GqaWeights, MlaWeights> self_attn;
  std::variant<std::monostate, MlpWeights, MoeWeights> mlp;
};

class WeightStore;  // owns their memory: model/weight_store.h

struct Weights {
  WeightMatrix embed_tokens;         // [vocab_size, hidden_size]
  std::vector<LayerWeights> layers;  // by index; those of other stages are empty
  ConstTensorView norm;              // [hidden_size] f32
  LinearWeight lm_head;              // [vocab_size, hidden_size]; embed_tokens if tied
  std::shared_ptr<WeightStore> store;
};

// An extent that a tensor must have, with the config.json field (or product of fields) it comes from.
struct Dim {
  int64_t size = 0;
  std::string_view field;
};

// Finds tensors by name under a prefix ("model.layers.3."), checks their shapes against the configuration, and packs
// them into a layout that kernels read (tensor/weight_layout.h), dropping their pages of the file. Throws an Error
// that names tensor, file, expected and found.
class WeightBinder {
 public:
  WeightBinder(WeightStore& store, const ModelConfig& config, const Placement& placement, std::string prefix,
               int64_t layer)
      : store_(store), config_(config), placement_(placement), prefix_(std::move(prefix)), layer_(layer) {}

  int64_t layer() const { return layer_; }
  bool has(std::string_view name) const;

  // How this rank's share of each matrix is cut. Its parts are named where a tensor is bound: `cut` below, null: whole.
  const LayerCuts& cuts() const { return placement_.cuts; }

  // `name`.weight [out, in], and `name`.bias [out] where the family has one.
  enum class Bias { kNone, kRequired };
  LinearWeight linear(std::string_view name, Dim out, Dim in, Bias bias = Bias::kNone, const RowCut* cut = nullptr);

  // The same, cut into consecutive row ranges as matrices of their own, which need not begin at a panel of the whole;
  // `out` rows in all. A transposed part [in, its rows] is a float matrix, since quantisation groups run along columns:
  // of the file's type if that is a 16-bit float, else f32. It has no bias.
  struct Part {
    int64_t rows = 0;  // of the file's matrix
    bool transposed = false;
    const RowCut* cut = nullptr;  // of these rows
    bool is_ours = true;          // else it is passed over, and no weight returned
  };
  std::vector<LinearWeight> linear_parts(std::string_view name, Dim out, Dim in, std::span<const Part> parts,
                                         Bias bias = Bias::kNone);

  // The same without bias, as f32 whatever the file's type: for the router.
  LinearWeight linear_f32(std::string_view name, Dim out, Dim in);

  // `name`.weight [out, in] in one piece of memory, so that single rows can be read: for embeddings. Usable in matmuls
  // too.
  LinearWeight table(std::string_view name, Dim out, Dim in);

  // A tensor widened to f32: for norms and biases.
  ConstTensorView f32(std::string_view name, std::initializer_list<Dim> shape);

 private:
  WeightStore& store_;
  const ModelConfig& config_;
  const Placement& placement_;
  std::string prefix_;
  int64_t layer_;
};

// Binds what the placement's rank holds, in the device's memory. Tensors that nothing claims are listed in one warning;
// MTP layers are recognised and skipped.
std::unique_ptr<Weights> bind_weights(std::shared_ptr<const ModelSource> source, const Family& family,
                                      const ModelConfig& config, const Placement& placement, Device& device,
                                      const Model::ProgressCallback& progress);

}  // namespace glimmer

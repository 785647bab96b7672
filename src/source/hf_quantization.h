// How the quantised checkpoints of Hugging Face store a matrix: which tensors belong together, told by their names,
// their types and config.json.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "format/checkpoint.h"
#include "quant/quant_type.h"
#include "source/packed_matrix.h"

namespace glimmer {

// A quantised matrix, or a stack of them, that several tensors of a checkpoint make up.
struct QuantizedTensor {
  std::string name;  // the canonical one: "<path>.weight", or "<path>" of a stack of experts
  Shape shape;       // [out, in] or [count, out, in]
  const QuantType* type = nullptr;
  QuantParams params;
  std::vector<const TensorInfo*> parts;  // as type->parts lists them, of the whole stack
};

class HfQuantization {
 public:
  // Reads config.json's quantization_config (quant_method fp8, compressed-tensors, awq, gptq, bitsandbytes, modelopt)
  // or MLX's quantization. `label` is what messages call the file. Throws kInvalid, kUnsupported (listing what is
  // known).
  HfQuantization(const Json& config, const std::string& label);

  // "none", "fp8 blocks 128 x 128", ...: for people.
  const std::string& description() const { return description_; }

  bool is_mlx() const { return packed_.is_mlx(); }

  // The matrix that `tensor` is the first part of; nothing if it stands alone. Throws kInvalid if other parts are
  // missing or have shapes that do not go with it.
  std::optional<QuantizedTensor> find(const Checkpoint& checkpoint, const TensorInfo& tensor) const;

  // Whether the tensor says more of a matrix that find() finds (its zero points, its order of columns, ...), and has no
  // place of its own, whether it is among the parts or not.
  bool is_further_part(const Checkpoint& checkpoint, std::string_view name) const {
    return packed_.is_further_part(checkpoint, name);
  }

 private:
  std::optional<QuantizedTensor> find_fp8(const Checkpoint& checkpoint, const TensorInfo& tensor) const;

  PackedMatrices packed_;
  std::string description_ = "none";
  int64_t weight_block_size_[2] = {128, 128};  // rows, columns
};

}  // namespace glimmer

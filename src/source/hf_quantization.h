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
  // Reads config.json's quantization_config (quant_method fp8, compressed-tensors) or MLX's quantization. `label` is
  // what messages call the file. Throws kInvalid, kUnsupported (listing what is known).
  HfQuantization(const Json& config, const std::string& label);

  // "none", "fp8 blocks 128 x 128", ...: for people.
  const std::string& description() const { return description_; }

  // The matrix that `tensor` is the first part of; nothing if it stands alone. Throws kInvalid if other parts are
  // missing or have shapes that do not go with it.
  std::optional<QuantizedTensor> find(const Checkpoint& checkpoint, const TensorInfo& tensor) const;

 private:
  std::optional<QuantizedTensor> find_fp8(const Checkpoint& checkpoint, const TensorInfo& tensor) const;

  std::string description_ = "none";
  int64_t weight_block_size_[2] = {128, 128};  // rows, columns
};

}  // namespace glimmer

// The quantised matrices of safetensors checkpoints, as MLX, bitsandbytes, AWQ, GPTQ, compressed-tensors and modelopt
// name and pack their tensors: which type a matrix has, with which parameters, and which tensors it is written as.
// config.json says what to expect, the tensors' shapes say what there is, and the two must agree.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "format/checkpoint.h"
#include "quant/quant_type.h"

namespace glimmer {

struct PackedMatrix {
  const QuantType* type = nullptr;
  QuantParams params;
  int64_t stack = 0;  // matrices of a 3-D stack, one after the other; 0: one matrix, of rank 2
  int64_t rows = 0;   // of the whole stack
  int64_t columns = 0;
  std::vector<const TensorInfo*> parts;  // as type->parts lists them, borrowed from the checkpoint
};

class PackedMatrices {
 public:
  // `config`: config.json; `source`: what messages call it. Looks at `quantization` (MLX) and `quantization_config`
  // (MLX's copy of it, or the others'). Throws kInvalid, and kUnsupported for methods and settings that are not known,
  // listing those that are. Methods that store 8-bit floats (fp8, compressed-tensors' float-quantized) pack nothing.
  PackedMatrices(const Json& config, std::string_view source);

  bool is_mlx() const { return method_ == Method::kMlx; }

  // Whether the tensor is the first part of a packed matrix, and then which. The module is the name up to the suffix
  // of that part. Throws kInvalid if parts are missing, their sizes disagree with each other or with config.json, and
  // kUnsupported for packings that Glimmer does not read, naming them.
  std::optional<PackedMatrix> matrix(const Checkpoint& checkpoint, const TensorInfo& tensor) const;

  // The module that the tensor is the first part of, if its name and type make it one: "model.layers.0.mlp.up_proj".
  std::optional<std::string_view> module_of(const Checkpoint& checkpoint, const TensorInfo& tensor) const;

  // Whether the tensor is a further part of a packed matrix, which has no place of its own.
  bool is_further_part(const Checkpoint& checkpoint, std::string_view name) const;

 private:
  enum class Method { kNone, kMlx, kBitsAndBytes, kAwq, kGptq, kCompressedTensors, kModelOpt };
  struct Context;

  PackedMatrix mlx(const Context& context) const;
  PackedMatrix bits_and_bytes(const Context& context) const;
  PackedMatrix awq(const Context& context) const;
  PackedMatrix gptq(const Context& context) const;
  PackedMatrix compressed_tensors(const Context& context) const;
  PackedMatrix modelopt(const Context& context) const;

  Json quantization_;
  std::string field_;  // of config.json: "quantization"
  std::string source_;
  Method method_ = Method::kNone;
};

}  // namespace glimmer

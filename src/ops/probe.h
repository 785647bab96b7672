// What listens to a forward pass: intermediates by name, and the inputs of matmuls. It is asked first, and what it does
// not want costs nothing: fast paths that do not compute an intermediate by itself are left only where it is wanted.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "tensor/tensor.h"

namespace glimmer {

// What a matmul with a weight reads: `tokens` rows of `columns` values, x_stride apart, in host memory.
struct LinearInput {
  std::string_view name;  // LinearWeight::name
  const float* x = nullptr;
  int64_t tokens = 0;
  int64_t columns = 0;
  int64_t x_stride = 0;
};

class Probe {
 public:
  virtual ~Probe() = default;

  // `what` as transformers names the module within layer `layer`: "self_attn", "mlp.topk_indices"; "" is the layer
  // itself. Layer -1: of no layer, "embed_tokens", "norm", "logits". The answer stays the same during a pass.
  virtual bool wants(std::string_view /*what*/, int64_t /*layer*/) const { return false; }
  // On the thread that runs the pass. The view is of host memory, and valid during the call only.
  virtual void take(std::string_view /*what*/, int64_t /*layer*/, ConstTensorView /*value*/) {}

  // The same of the input of each matmul with a weight of this name, in f32 before it is rounded for the kernel.
  virtual bool wants_input(std::string_view /*weight*/) const { return false; }
  virtual void take_input(const LinearInput& /*input*/) {}
};

// "layers.3.self_attn", "layers.3", "norm": as traces and golden files name it.
std::string intermediate_name(std::string_view what, int64_t layer);

}  // namespace glimmer

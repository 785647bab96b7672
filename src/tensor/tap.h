// A tap receives the named intermediates of a forward pass, for traces and measurements.
#pragma once

#include <string_view>

#include "tensor/tensor.h"

namespace glimmer {

class Tap {
 public:
  virtual ~Tap() = default;
  // `name` as transformers names the module: "layers.3.self_attn". The view is valid during the call only.
  virtual void record(std::string_view name, ConstTensorView value) = 0;
};

}  // namespace glimmer

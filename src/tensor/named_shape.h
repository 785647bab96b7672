// Name and shape of a tensor that is expected or planned.
#pragma once

#include <string>

#include "tensor/shape.h"

namespace glimmer {

struct NamedShape {
  std::string name;
  Shape shape;

  bool operator==(const NamedShape&) const = default;
};

}  // namespace glimmer

// A tensor that is asked for or planned: what it is called and how large it is.
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

// The filters, in four groups; find_filter looks through all of them.
#pragma once

#include <span>

#include "text/jinja/callable.h"

namespace glimmer::jinja {

std::span<const NamedFunction> sequence_filters();   // of whole sequences: sort, join, sum, ...
std::span<const NamedFunction> generator_filters();  // that yield items one by one: map, select, batch, ...
std::span<const NamedFunction> text_filters();
std::span<const NamedFunction> value_filters();  // numbers, defaults, tojson, ...

// item.a.b.0 of an `attribute` argument, by the rules of subscripts: dots separate, digits are integers. A missing
// `attribute` gives the item itself.
class AttributePath {
 public:
  explicit AttributePath(const Value& attribute);
  // `fallback`, unless missing or none, stands for an undefined step.
  Value get(Value item, const Value& fallback = {}) const;

 private:
  Values parts_;
};

// A string in lower case; other values as they are.
Value ignore_case(const Value& value);

}  // namespace glimmer::jinja

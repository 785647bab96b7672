// Iterators that filters and loops make.
#pragma once

#include <functional>
#include <string>

#include "text/jinja/value.h"

namespace glimmer::jinja {

// A generator: `step` puts the next value in its argument, or returns false at the end. `holds` are the values that it
// keeps alive; their nesting counts as its own.
Value make_generator(std::function<bool(Value&)> step, const Values& holds, std::string_view type_name = "generator");

// Items of a list that was just made, once each.
Value iterate_items(Values items, std::string_view type_name);

}  // namespace glimmer::jinja

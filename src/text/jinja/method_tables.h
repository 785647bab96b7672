// The methods of the built-in types, sorted by name.
#pragma once

#include <span>
#include <string_view>

#include "text/jinja/callable.h"

namespace glimmer::jinja {

std::span<const NamedFunction> str_methods();

// str.islower and str.isupper, which the tests `lower` and `upper` use too.
bool is_lower_text(std::string_view text);
bool is_upper_text(std::string_view text);

}  // namespace glimmer::jinja

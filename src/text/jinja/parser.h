// Text to tree. Follows jinja2/parser.py with the extensions of transformers: loop controls and {% generation %};
// {% do %} besides. include, import, extends and autoescape are errors: a chat template is one file of plain text.
#pragma once

#include <string_view>

#include "text/jinja/ast.h"

namespace glimmer::jinja {

// Height of a tree: nesting, and the length of chains like a + b + c.
inline constexpr int kMaxTreeHeight = 400;

// Throws kInvalid "source:line: ..." on a syntax error, kLimit when nested too deeply. Names are not resolved yet.
Template parse(std::string_view template_text, std::string_view source);

}  // namespace glimmer::jinja

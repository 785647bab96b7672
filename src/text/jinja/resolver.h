// Gives every name its slot. jinja2 compiles a template to Python functions (one each for the template, a macro, a call
// block, a recursive loop, a loop's filter); names live in scopes inside them. What a name means - when it is looked up
// among the inputs, when it is copied from an outer scope - follows jinja2/idtracking.py and compiler.py rule by rule.
#pragma once

#include "text/jinja/ast.h"

namespace glimmer::jinja {

// Resolves names, checks that filters and tests exist, and numbers the constants. Throws kInvalid "source:line: ...".
void resolve(Template& parsed);

}  // namespace glimmer::jinja

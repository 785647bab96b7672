// Operators and subscripts, as Python's on these types and jinja2's sandbox on attributes.
#pragma once

#include <string_view>

#include "text/jinja/value.h"

namespace glimmer::jinja {

// a + b and so on. Throw kInvalid on types without the operator and on division by zero, kLimit on overflow.
Value add(const Value& a, const Value& b);
Value subtract(const Value& a, const Value& b);
Value multiply(const Value& a, const Value& b);
Value divide(const Value& a, const Value& b);
Value floor_divide(const Value& a, const Value& b);
Value modulo(const Value& a, const Value& b);
Value power(const Value& a, const Value& b);
Value negate(const Value& a);
Value plus(const Value& a);

// object.name: the attribute (a method), else the item. object[key]: the item, else the attribute. Undefined when there
// is neither, and for what the sandbox forbids: names that begin with '_', methods that would change the object.
Value get_attribute(const Value& object, std::string_view name);
Value get_item(const Value& object, const Value& key);

// object's own attribute, no item; missing when there is none.
Value find_attribute(const Value& object, std::string_view name);

// object[start:stop:step]; missing parts are left out.
Value slice(const Value& object, const Value& start, const Value& stop, const Value& step);

// HTML escaping as markupsafe's; markup stays as it is.
std::string escape_html(const Value& value);

}  // namespace glimmer::jinja

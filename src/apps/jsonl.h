// JSON Lines on standard input and output: one value a line in, one value a line out.
#pragma once

#include <functional>

#include "base/json.h"

namespace glimmer::apps {

// Maps each line through `transform`, in order; blank lines are skipped. An error of the line or of `transform` is
// thrown on with the line's number in front; what came before it has been written.
void map_json_lines(const std::function<Json(const Json& line)>& transform);

// The member `key` of a line. Throws kInvalid when `line` is not an object or lacks it.
const Json& require_member(const Json& line, const char* key);

// The string member `key`. Throws kInvalid.
const std::string& require_string(const Json& line, const char* key);

}  // namespace glimmer::apps

// Pieces of Python's str that methods and filters share.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/value.h"

namespace glimmer::jinja {

// str.replace; all when `count` is negative.
std::string replace_text(std::string_view text, std::string_view from, std::string_view to, int64_t count);

// str.splitlines.
std::vector<std::string> split_lines(std::string_view text, bool keep_ends);

// str.center.
std::string center_text(std::string_view text, int64_t width, std::string_view fill);

}  // namespace glimmer::jinja

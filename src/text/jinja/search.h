// Substring search in linear time: templates may be hostile, and std::string::find is quadratic on such input.
#pragma once

#include <string_view>

namespace glimmer::jinja {

// Byte position of the first `needle` in `text` from `from` on; npos when there is none. Charges its work.
size_t find_text(std::string_view text, std::string_view needle, size_t from = 0);

// The last one that ends at or before `end`.
size_t rfind_text(std::string_view text, std::string_view needle, size_t end = std::string_view::npos);

}  // namespace glimmer::jinja

// Numbers from text, as Python's int() and float() read them.
#pragma once

#include <cstdint>
#include <string_view>

namespace glimmer::jinja {

// White space around, a sign, single underscores between digits, a prefix 0x 0o 0b when `base` allows it (0: any).
// False when the text is no integer; throws kLimit when it does not fit 64 bits.
bool parse_integer(std::string_view text, int base, int64_t& out);

// Also "inf", "nan" and "infinity".
bool parse_double(std::string_view text, double& out);

}  // namespace glimmer::jinja

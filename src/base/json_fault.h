// What is wrong with a text that is no JSON, in words that help whoever wrote it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace glimmer {

// "byte 52 (line 1, column 52)", counted from 1. `offset`: of the byte that is wrong, counted from 0; at most
// text.size().
std::string json_place(std::string_view text, size_t offset);

// Why `text` is wrong at `offset`: what people write in place of JSON by its name (a comma too many, NaN, a comment,
// ...), else `reason`, the parser's. One line of bounded length that quotes at most a few characters of the text.
std::string json_fault(std::string_view text, size_t offset, std::string_view reason);

// The encoding that a text has instead of UTF-8, told by its first bytes: "UTF-16", "UTF-32" or "gzip"; else empty.
std::string_view foreign_encoding(std::string_view text);

}  // namespace glimmer

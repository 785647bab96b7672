// JSON as Glimmer uses it: key order kept, nesting bounded, errors that name the source.
// Large machine-made files (safetensors headers, tokenizer.json) are read with simdjson where they are parsed instead.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

namespace glimmer {

using Json = nlohmann::ordered_json;

inline constexpr int kMaxJsonDepth = 64;

// Parses one JSON document. `source` (a path, "line 3 of stdin") begins every message.
// Throws kInvalid on malformed text and on a duplicate key, kLimit on nesting deeper than kMaxJsonDepth.
Json parse_json(std::string_view text, std::string_view source);

// The text of `value` on one line; invalid UTF-8 in strings becomes U+FFFD.
std::string dump_json(const Json& value);

}  // namespace glimmer

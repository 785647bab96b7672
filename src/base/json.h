// JSON as Glimmer uses it: key order kept, nesting bounded, errors that name the source.
// Large machine-made files (safetensors headers, tokenizer.json) are read with simdjson where they are parsed instead.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string_view>

// The library takes a value apart by way of a vector of its parts: its destructor asks for memory, and where there is
// none it ends the process. Ours goes down into the value, which nests no deeper than parse_json lets it.
template <>
inline void nlohmann::ordered_json::json_value::destroy(value_t type) {
  const auto release = [](auto* value) {
    if (value == nullptr) return;  // its constructor found no memory
    std::destroy_at(value);
    std::allocator<std::remove_pointer_t<decltype(value)>>().deallocate(value, 1);
  };
  switch (type) {
    case value_t::object:
      return release(object);
    case value_t::array:
      return release(array);
    case value_t::string:
      return release(string);
    case value_t::binary:
      return release(binary);
    default:
      return;
  }
}

namespace glimmer {

using Json = nlohmann::ordered_json;

inline constexpr int kMaxJsonDepth = 64;

// Parses one JSON document. `source` (a path, "line 3 of stdin") begins every message.
// Throws kInvalid on malformed text and on a duplicate key, kLimit on nesting deeper than kMaxJsonDepth.
Json parse_json(std::string_view text, std::string_view source);

// The text of `value` on one line; invalid UTF-8 in strings becomes U+FFFD.
std::string dump_json(const Json& value);

}  // namespace glimmer

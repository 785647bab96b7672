// Typed access to the fields of a config.json that is written down in another format. Every fault names the file, the
// field, what was expected and what was found.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/json.h"

namespace glimmer {

class JsonFields {
 public:
  // Views of `object`, which must outlive them. `prefix` begins field names in messages: "rope_parameters.".
  JsonFields(const Json& object, std::string_view source, std::string_view prefix = "");

  const Json* find(std::string_view field) const;  // null pointer when absent or null
  bool has_null(std::string_view field) const;     // present, and null

  int64_t require_int(std::string_view field) const;  // 0 to 2^32 - 1, the integers of GGUF's metadata
  double require_number(std::string_view field) const;
  std::string require_text(std::string_view field) const;
  int64_t int_or(std::string_view field, int64_t fallback) const;
  double number_or(std::string_view field, double fallback) const;
  bool bool_or(std::string_view field, bool fallback) const;

  [[noreturn]] void refuse(std::string_view field, std::string_view expected) const;  // kInvalid
  [[noreturn]] void unsupported(std::string_view field, std::string_view why) const;  // kUnsupported

 private:
  std::string found(std::string_view field) const;

  const Json& object_;
  std::string source_;
  std::string prefix_;
};

}  // namespace glimmer

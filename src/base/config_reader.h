// Typed access to the fields of config.json. Every fault names the file, the field, what was expected and what was
// found.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace glimmer {

struct IntRange {
  int64_t low = 1;
  int64_t high = int64_t{1} << 31;
};

class ConfigReader {
 public:
  // `prefix` begins field names in messages: "rope_parameters.".
  ConfigReader(const Json& object, std::string source, std::string prefix = "");

  const std::string& source() const { return source_; }
  bool has(std::string_view field) const;  // present and not null
  bool has_null(std::string_view field) const;
  const Json* find(std::string_view field) const;  // null pointer when absent or null

  int64_t require_int(std::string_view field, IntRange range = {}) const;
  double require_number(std::string_view field) const;
  std::string require_string(std::string_view field) const;

  // The field, or what transformers takes when it is absent; then noted in defaults_taken().
  int64_t int_or(std::string_view field, int64_t fallback, IntRange range = {});
  double number_or(std::string_view field, double fallback);
  bool bool_or(std::string_view field, bool fallback);

  // A single id or a list of ids; empty when absent or null.
  std::vector<int32_t> ids(std::string_view field) const;

  // The value must be one of `known`; the error lists them.
  void expect_one_of(std::string_view field, std::string_view value,
                     std::initializer_list<std::string_view> known) const;

  [[noreturn]] void fail_field(std::string_view field, std::string_view expected) const;
  [[noreturn]] void fail_rule(const std::string& message) const;  // a relation between fields that does not hold

  const std::vector<std::string>& defaults_taken() const { return defaults_taken_; }

 private:
  void note_default(std::string_view field, const std::string& value);

  const Json& object_;
  std::string source_;
  std::string prefix_;
  std::vector<std::string> defaults_taken_;
};

}  // namespace glimmer

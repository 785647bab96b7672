// Reads an object of a request by a table of its fields, their types and ranges. All checks, error messages and the
// schema in /openapi.json come from the same table.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "serve/api_error.h"

namespace glimmer::serve {

// A set of JSON types, as bits.
enum FieldTypes : unsigned {
  kTextField = 1,
  kIntegerField = 2,  // 5.0 is one too
  kNumberField = 4,
  kBooleanField = 8,
  kObjectField = 16,
  kListField = 32,
  kAnyField = 63,
};

// How a field is treated. A test compares these with the table in docs/serve.md.
enum class FieldUse {
  kObeyed,
  kIgnored,  // accepted with any value of any type: it would not change the answer here
  kRefused,  // a 400, except for null and `neutral`: the client relies on a feature that this server lacks
};

struct FieldSpec {
  std::string_view name;
  unsigned types = kTextField;  // FieldTypes. null counts as an absent field, whatever the types
  std::string_view about = {};  // for /openapi.json
  double minimum = -std::numeric_limits<double>::infinity();
  double maximum = std::numeric_limits<double>::infinity();
  std::vector<std::string_view> choices = {};  // of a text; empty: any
  bool required = false;
  FieldUse use = FieldUse::kObeyed;
  std::vector<Json> neutral = {};  // of a refused field: values that ask for nothing
};

using FieldTable = std::vector<FieldSpec>;

// Rows for fields that are ignored or refused. `why` follows "is not supported: ".
FieldSpec ignored_field(std::string_view name, std::string_view about = {});
FieldSpec refused_field(std::string_view name, std::string_view why, std::vector<Json> neutral = {});

std::string_view field_use_name(FieldUse use);  // "obeyed", "ignored", "refused"

// A 400 that names the field.
[[noreturn]] void bad_field(const std::string& path, const std::string& problem);

// "a string", "a list", ... for messages.
std::string_view json_type_name(const Json& value);

// One object that keeps to its table.
class Fields {
 public:
  // `value` and `table` must outlive it. `path` is "" for the body, else as messages spell it:
  // "messages[3].content[0]". Fields that are not in the table are appended to `unknown` (may be null) by their paths.
  // Throws ApiError.
  Fields(const Json& value, std::string path, const FieldTable& table, std::vector<std::string>* unknown);

  const std::string& path() const { return path_; }
  std::string path_of(std::string_view name) const;
  const Json& json() const { return value_; }

  // Null for a field that is absent or null. CHECKs that the name is in the table.
  const Json* find(std::string_view name) const;
  bool has(std::string_view name) const { return find(name) != nullptr; }

  std::optional<std::string> text(std::string_view name) const;
  std::optional<int64_t> integer(std::string_view name) const;
  std::optional<double> number(std::string_view name) const;
  std::optional<bool> boolean(std::string_view name) const;
  bool boolean(std::string_view name, bool otherwise) const { return boolean(name).value_or(otherwise); }

  [[noreturn]] void fail_at(std::string_view name, const std::string& problem) const {
    bad_field(path_of(name), problem);
  }

 private:
  const Json& value_;
  std::string path_;
  const FieldTable& table_;
};

// "path[index]".
std::string element_path(const std::string& path, size_t index);

// The table as a JSON schema, with what becomes of each field as "x-glimmer-use".
Json schema_of(const FieldTable& table);

}  // namespace glimmer::serve

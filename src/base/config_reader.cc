#include "base/config_reader.h"

#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/quoted_name.h"

namespace glimmer {
namespace {

std::string shown(const Json* value) {
  if (value == nullptr) return "nothing";
  std::string text = dump_json(*value);
  if (text.size() > 80) text = text.substr(0, 77) + "...";
  return text;
}

}  // namespace

ConfigReader::ConfigReader(const Json& object, std::string source, std::string prefix)
    : object_(object), source_(std::move(source)), prefix_(std::move(prefix)) {
  if (!object.is_object()) {
    const std::string_view field = std::string_view(prefix_).substr(0, prefix_.empty() ? 0 : prefix_.size() - 1);
    fail(ErrorCode::kInvalid, "{}: {}{}expected a JSON object, found {}", source_, field, field.empty() ? "" : ": ",
         shown(&object));
  }
}

const Json* ConfigReader::find(std::string_view field) const {
  const auto it = object_.find(std::string(field));
  return it == object_.end() || it->is_null() ? nullptr : &*it;
}

bool ConfigReader::has(std::string_view field) const { return find(field) != nullptr; }

bool ConfigReader::has_null(std::string_view field) const {
  const auto it = object_.find(std::string(field));
  return it != object_.end() && it->is_null();
}

void ConfigReader::fail_field(std::string_view field, std::string_view expected) const {
  const auto it = object_.find(std::string(field));
  fail(ErrorCode::kInvalid, "{}: field {}{}: expected {}, found {}", source_, prefix_, field, expected,
       shown(it == object_.end() ? nullptr : &*it));
}

void ConfigReader::fail_rule(const std::string& message) const {
  fail(ErrorCode::kInvalid, "{}: {}{}", source_, prefix_, message);
}

int64_t ConfigReader::require_int(std::string_view field, IntRange range) const {
  const Json* value = find(field);
  const std::string expected = fmt::format("a whole number from {} to {}", range.low, range.high);
  if (value == nullptr || !value->is_number_integer()) fail_field(field, expected);
  if (value->is_number_unsigned() && value->get<uint64_t>() > static_cast<uint64_t>(range.high)) {
    fail_field(field, expected);
  }
  const auto number = value->get<int64_t>();
  if (number < range.low || number > range.high) fail_field(field, expected);
  return number;
}

double ConfigReader::require_number(std::string_view field) const {
  const Json* value = find(field);
  if (value == nullptr || !value->is_number() || !std::isfinite(value->get<double>())) fail_field(field, "a number");
  return value->get<double>();
}

std::string ConfigReader::require_string(std::string_view field) const {
  const Json* value = find(field);
  if (value == nullptr || !value->is_string()) fail_field(field, "a string");
  return value->get<std::string>();
}

void ConfigReader::note_default(std::string_view field, const std::string& value) {
  defaults_taken_.push_back(fmt::format("{}{} = {}", prefix_, field, value));
}

int64_t ConfigReader::int_or(std::string_view field, int64_t fallback, IntRange range) {
  if (has(field)) return require_int(field, range);
  note_default(field, fmt::format("{}", fallback));
  return fallback;
}

double ConfigReader::number_or(std::string_view field, double fallback) {
  if (has(field)) return require_number(field);
  note_default(field, fmt::format("{}", fallback));
  return fallback;
}

bool ConfigReader::bool_or(std::string_view field, bool fallback) {
  const Json* value = find(field);
  if (value == nullptr) {
    note_default(field, fallback ? "true" : "false");
    return fallback;
  }
  if (!value->is_boolean()) fail_field(field, "true or false");
  return value->get<bool>();
}

std::vector<int32_t> ConfigReader::ids(std::string_view field) const {
  const Json* value = find(field);
  if (value == nullptr) return {};
  const auto id_of = [&](const Json& item) {
    if (!item.is_number_unsigned() || item.get<uint64_t>() > std::numeric_limits<int32_t>::max()) {
      fail_field(field, "a token id or a list of token ids");
    }
    return static_cast<int32_t>(item.get<uint64_t>());
  };
  if (!value->is_array()) return {id_of(*value)};
  std::vector<int32_t> ids;
  for (const Json& item : *value) ids.push_back(id_of(item));
  return ids;
}

void ConfigReader::expect_one_of(std::string_view field, std::string_view value,
                                 std::initializer_list<std::string_view> known) const {
  for (const std::string_view item : known) {
    if (item == value) return;
  }
  fail(ErrorCode::kUnsupported, "{}: field {}{}: {} is not supported; known: {}", source_, prefix_, field,
       quoted_name(value), fmt::join(known, ", "));
}

}  // namespace glimmer

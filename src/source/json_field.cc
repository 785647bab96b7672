#include "source/json_field.h"

#include "base/error.h"
#include "base/utf8.h"

namespace glimmer {

JsonFields::JsonFields(const Json& object, std::string_view source, std::string_view prefix)
    : object_(object), source_(source), prefix_(prefix) {
  if (!object.is_object()) {
    fail(ErrorCode::kInvalid, "{}: {}: expected an object", source_, prefix_.empty() ? "the document" : prefix_);
  }
}

const Json* JsonFields::find(std::string_view field) const {
  const auto at = object_.find(field);
  return at == object_.end() || at->is_null() ? nullptr : &*at;
}

bool JsonFields::has_null(std::string_view field) const {
  const auto at = object_.find(field);
  return at != object_.end() && at->is_null();
}

std::string JsonFields::found(std::string_view field) const {
  const auto at = object_.find(field);
  if (at == object_.end()) return "nothing";
  std::string text = dump_json(*at);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return to_valid_utf8(text);
}

void JsonFields::refuse(std::string_view field, std::string_view expected) const {
  fail(ErrorCode::kInvalid, "{}: field {}{}: expected {}, found {}", source_, prefix_, field, expected, found(field));
}

void JsonFields::unsupported(std::string_view field, std::string_view why) const {
  fail(ErrorCode::kUnsupported, "{}: field {}{}: {}: {}", source_, prefix_, field, found(field), why);
}

int64_t JsonFields::require_int(std::string_view field) const {
  const Json* value = find(field);
  // An unsigned number above 2^63 turns negative here.
  if (value == nullptr || !value->is_number_integer() || value->get<int64_t>() < 0 ||
      value->get<int64_t>() > 0xFFFFFFFF) {
    refuse(field, "a whole number from 0 to 2^32 - 1");
  }
  return value->get<int64_t>();
}

double JsonFields::require_number(std::string_view field) const {
  const Json* value = find(field);
  if (value == nullptr || !value->is_number()) refuse(field, "a number");
  return value->get<double>();
}

std::string JsonFields::require_text(std::string_view field) const {
  const Json* value = find(field);
  if (value == nullptr || !value->is_string()) refuse(field, "a string");
  return value->get<std::string>();
}

int64_t JsonFields::int_or(std::string_view field, int64_t fallback) const {
  return find(field) == nullptr ? fallback : require_int(field);
}

double JsonFields::number_or(std::string_view field, double fallback) const {
  return find(field) == nullptr ? fallback : require_number(field);
}

bool JsonFields::bool_or(std::string_view field, bool fallback) const {
  const Json* value = find(field);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) refuse(field, "true or false");
  return value->get<bool>();
}

}  // namespace glimmer

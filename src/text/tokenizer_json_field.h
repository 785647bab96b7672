// A value of a JSON document with its place in it, so that every message can name the file and the field.
#pragma once

#include <simdjson.h>

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace glimmer {

class JsonField {
 public:
  // `source` outlives the field.
  JsonField(simdjson::dom::element value, std::string path, std::string_view source)
      : value_(value), path_(std::move(path)), source_(source) {}

  const std::string& path() const { return path_; }
  std::string_view source() const { return source_; }
  std::string where() const { return fmt::format("{}: {}", source_, path_.empty() ? "document" : path_); }
  simdjson::dom::element value() const { return value_; }
  bool is_null() const { return value_.is_null(); }
  bool is_object() const { return value_.is_object(); }
  bool is_string() const { return value_.is_string(); }

  [[noreturn]] void wrong_type(std::string_view expected) const {
    fail(ErrorCode::kInvalid, "{}: expected {}, found {}", where(), expected, type_name());
  }

  simdjson::dom::object object() const { return get<simdjson::dom::object>("an object"); }
  simdjson::dom::array array() const { return get<simdjson::dom::array>("an array"); }
  std::string_view string() const { return get<std::string_view>("a string"); }
  bool boolean() const { return get<bool>("true or false"); }
  int64_t integer() const {
    if (value_.type() == simdjson::dom::element_type::UINT64) {
      fail(ErrorCode::kLimit, "{}: {} is too large", where(), uint64_t{value_});
    }
    return get<int64_t>("an integer");
  }

  // A member that is missing or null gives nothing.
  std::optional<JsonField> find(std::string_view name) const {
    simdjson::dom::element member;
    if (object().at_key(name).get(member) != simdjson::SUCCESS || member.is_null()) return std::nullopt;
    return JsonField(member, path_.empty() ? std::string(name) : fmt::format("{}.{}", path_, name), source_);
  }

  JsonField member(std::string_view name) const {
    if (auto found = find(name)) return *found;
    fail(ErrorCode::kInvalid, "{}: \"{}\" is missing", where(), name);
  }

  JsonField element(simdjson::dom::element value, size_t index) const {
    return {value, fmt::format("{}[{}]", path_, index), source_};
  }

 private:
  template <typename T>
  T get(std::string_view expected) const {
    T out;
    if (value_.get(out) != simdjson::SUCCESS) wrong_type(expected);
    return out;
  }

  std::string_view type_name() const {
    using simdjson::dom::element_type;
    switch (value_.type()) {
      case element_type::ARRAY:
        return "an array";
      case element_type::OBJECT:
        return "an object";
      case element_type::INT64:
        return "an integer";
      case element_type::UINT64:
        return "a large integer";
      case element_type::DOUBLE:
        return "a number with a fraction or exponent";
      case element_type::STRING:
        return "a string";
      case element_type::BOOL:
        return "true or false";
      case element_type::NULL_VALUE:
        return "null";
    }
    return "something else";
  }

  simdjson::dom::element value_;
  std::string path_;
  std::string_view source_;
};

}  // namespace glimmer

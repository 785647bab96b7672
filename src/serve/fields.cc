#include "serve/fields.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/error.h"
#include "base/json_numbers.h"
#include "base/quoted_name.h"

namespace glimmer::serve {
namespace {

struct TypeName {
  FieldTypes type;
  std::string_view words;
  std::string_view schema;
};

constexpr TypeName kTypeNames[] = {
    {kTextField, "a string", "string"},    {kIntegerField, "an integer", "integer"},
    {kNumberField, "a number", "number"},  {kBooleanField, "true or false", "boolean"},
    {kObjectField, "an object", "object"}, {kListField, "a list", "array"},
};

// 2^53: beyond it a double does not represent every integer.
constexpr double kLargestExactInteger = 9007199254740992.0;

// Members of an object with a table: rows look up members by linear search, so the work is bounded.
constexpr size_t kMaxMembers = 1024;

bool is_whole(const Json& value) {
  if (keeps_number_text(value)) return is_integer_text(number_text(value));
  if (value.is_number_integer()) return true;
  if (!value.is_number_float()) return false;
  const double number = value.get<double>();
  return std::abs(number) <= kLargestExactInteger && std::trunc(number) == number;
}

unsigned types_of(const Json& value) {
  switch (value.type()) {
    case Json::value_t::string:
      return kTextField;
    case Json::value_t::boolean:
      return kBooleanField;
    case Json::value_t::object:
      return kObjectField;
    case Json::value_t::array:
      return kListField;
    default:
      return value.is_number() || keeps_number_text(value) ? kNumberField | (is_whole(value) ? kIntegerField : 0u) : 0u;
  }
}

std::string expected_types(unsigned types) {
  std::vector<std::string_view> words;
  for (const TypeName& name : kTypeNames) {
    if (types & name.type) words.push_back(name.words);
  }
  return fmt::format("{}", fmt::join(words, " or "));
}

std::string range_of(const FieldSpec& spec) {
  if (!std::isfinite(spec.maximum)) return fmt::format("at least {}", spec.minimum);
  if (!std::isfinite(spec.minimum)) return fmt::format("at most {}", spec.maximum);
  return fmt::format("between {} and {}", spec.minimum, spec.maximum);
}

// The object without null members.
Json without_nulls(const Json& value) {
  if (!value.is_object()) return value;
  Json out = Json::object();
  for (const auto& [name, member] : value.items()) {
    if (!member.is_null()) out[name] = without_nulls(member);
  }
  return out;
}

std::string neutral_values(const FieldSpec& spec) {
  std::vector<std::string> values;
  for (const Json& value : spec.neutral) values.push_back(dump_json(value));
  return fmt::format("{}", fmt::join(values, " or "));
}

void refuse_field(const FieldSpec& spec, const Json& value, const std::string& path) {
  const Json asked = without_nulls(value);
  if (std::find(spec.neutral.begin(), spec.neutral.end(), asked) != spec.neutral.end()) return;
  std::string problem = fmt::format("is not supported: {}", spec.about);
  if (!spec.neutral.empty()) problem += fmt::format(" (only {} is taken)", neutral_values(spec));
  bad_field(path, problem);
}

void check_field(const FieldSpec& spec, const Json& value, const std::string& path) {
  if (spec.use == FieldUse::kRefused) return refuse_field(spec, value, path);
  if (spec.use == FieldUse::kIgnored) return;
  if (!(types_of(value) & spec.types)) {
    bad_field(path, fmt::format("expected {}, found {}", expected_types(spec.types), json_type_name(value)));
  }
  if (value.is_number() || keeps_number_text(value)) {
    const double number = nearest_number(value);
    if (!(number >= spec.minimum && number <= spec.maximum)) {
      bad_field(path, fmt::format("must be {}, found {}", range_of(spec), dump_json(value)));
    }
  }
  if (value.is_string() && !spec.choices.empty()) {
    const auto& text = value.get_ref<const std::string&>();
    if (std::find(spec.choices.begin(), spec.choices.end(), text) == spec.choices.end()) {
      bad_field(path,
                fmt::format("expected one of \"{}\", found {}", fmt::join(spec.choices, "\", \""), quoted_name(text)));
    }
  }
}

Json refused_schema(const FieldSpec& spec) {
  Json taken = Json::array({nullptr});
  for (const Json& value : spec.neutral) taken.push_back(value);
  return {{"enum", std::move(taken)}, {"description", fmt::format("Not supported: {}", spec.about)}};
}

Json field_schema(const FieldSpec& spec) {
  if (spec.use == FieldUse::kRefused) return refused_schema(spec);
  Json property = Json::object();
  if (spec.types != kAnyField) {
    Json types = Json::array();
    for (const TypeName& name : kTypeNames) {
      const bool implied = name.type == kIntegerField && (spec.types & kNumberField);
      if ((spec.types & name.type) && !implied) types.push_back(name.schema);
    }
    if (!spec.required) types.push_back("null");
    property["type"] = types.size() == 1 ? types.front() : types;
  }
  if (!spec.about.empty()) property["description"] = spec.about;
  if (std::isfinite(spec.minimum)) property["minimum"] = spec.minimum;
  if (std::isfinite(spec.maximum)) property["maximum"] = spec.maximum;
  // Other types than text are not among the choices.
  if (!spec.choices.empty() && spec.types == kTextField) {
    Json choices = spec.choices;
    if (!spec.required) choices.push_back(nullptr);
    property["enum"] = std::move(choices);
  }
  return property;
}

}  // namespace

FieldSpec ignored_field(std::string_view name, std::string_view about) {
  return {.name = name, .types = kAnyField, .about = about, .use = FieldUse::kIgnored};
}

FieldSpec refused_field(std::string_view name, std::string_view why, std::vector<Json> neutral) {
  return {.name = name, .types = kAnyField, .about = why, .use = FieldUse::kRefused, .neutral = std::move(neutral)};
}

std::string_view field_use_name(FieldUse use) {
  switch (use) {
    case FieldUse::kObeyed:
      return "obeyed";
    case FieldUse::kIgnored:
      return "ignored";
    case FieldUse::kRefused:
      return "refused";
  }
  return "";
}

void bad_field(const std::string& path, const std::string& problem) {
  ApiError error(400, path.empty() ? problem : path + ": " + problem);
  if (!path.empty()) error.param = path;
  throw error;
}

std::string_view json_type_name(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return "null";
    case Json::value_t::string:
      return "a string";
    case Json::value_t::boolean:
      return "true or false";
    case Json::value_t::object:
      return "an object";
    case Json::value_t::array:
      return "a list";
    default:
      return is_whole(value) ? "an integer" : "a number";
  }
}

Fields::Fields(const Json& value, std::string path, const FieldTable& table, std::vector<std::string>* unknown)
    : value_(value), path_(std::move(path)), table_(table) {
  if (!value_.is_object()) {
    bad_field(path_,
              fmt::format("{}expected an object, found {}", path_.empty() ? "the body: " : "", json_type_name(value_)));
  }
  if (value_.size() > kMaxMembers) {
    bad_field(path_, fmt::format("an object of at most {} fields is expected, found {}", kMaxMembers, value_.size()));
  }
  for (const FieldSpec& spec : table_) {
    const auto found = value_.find(spec.name);
    if (found != value_.end() && !found->is_null()) {
      check_field(spec, *found, path_of(spec.name));
    } else if (spec.required) {
      fail_at(spec.name, "is missing");
    }
  }
  if (unknown == nullptr) return;
  for (const auto& [name, ignored] : value_.items()) {
    const bool known =
        std::any_of(table_.begin(), table_.end(), [&n = name](const FieldSpec& spec) { return spec.name == n; });
    // A hostile body may have thousands of them.
    if (!known && unknown->size() < 32) unknown->push_back(path_of(quoted_name(name)));
  }
}

std::string Fields::path_of(std::string_view name) const {
  return path_.empty() ? std::string(name) : fmt::format("{}.{}", path_, name);
}

const Json* Fields::find(std::string_view name) const {
  GLIMMER_CHECK(std::any_of(table_.begin(), table_.end(), [&](const FieldSpec& spec) { return spec.name == name; }),
                "field {} is in no table", name);
  const auto found = value_.find(name);
  return found == value_.end() || found->is_null() ? nullptr : &*found;
}

std::optional<std::string> Fields::text(std::string_view name) const {
  const Json* value = find(name);
  return value == nullptr ? std::nullopt : std::optional(value->get<std::string>());
}

std::optional<int64_t> Fields::integer(std::string_view name) const {
  const Json* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (value->is_number_unsigned() && value->get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) {
    fail_at(name, fmt::format("{} is too large", dump_json(*value)));
  }
  if (keeps_number_text(*value)) fail_at(name, fmt::format("{} is out of range", dump_json(*value)));
  return value->get<int64_t>();
}

std::optional<double> Fields::number(std::string_view name) const {
  const Json* value = find(name);
  return value == nullptr ? std::nullopt : std::optional(nearest_number(*value));
}

std::optional<bool> Fields::boolean(std::string_view name) const {
  const Json* value = find(name);
  return value == nullptr ? std::nullopt : std::optional(value->get<bool>());
}

std::string element_path(const std::string& path, size_t index) { return fmt::format("{}[{}]", path, index); }

Json schema_of(const FieldTable& table) {
  Json properties = Json::object();
  Json required = Json::array();
  for (const FieldSpec& spec : table) {
    Json property = field_schema(spec);
    property["x-glimmer-use"] = field_use_name(spec.use);
    properties[std::string(spec.name)] = std::move(property);
    if (spec.required) required.push_back(spec.name);
  }
  Json schema = {{"type", "object"}, {"properties", std::move(properties)}};
  if (!required.empty()) schema["required"] = std::move(required);
  return schema;
}

}  // namespace glimmer::serve

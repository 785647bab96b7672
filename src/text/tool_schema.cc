#include "text/tool_schema.h"

#include <algorithm>
#include <optional>

namespace glimmer {
namespace {

// Bounds on schemas that refer to one another; beyond them any type is allowed.
constexpr int kMaxSchemaDepth = 32;
constexpr int kMaxSchemasRead = 10'000;

const Json* member(const Json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto it = object.find(key);
  return it == object.end() ? nullptr : &*it;
}

// Zero for a name that says nothing. Besides JSON Schema's names those are in use that Python has (also List[str]), and
// Gemini's declarations write all of them in capitals.
unsigned types_named(std::string_view text) {
  static const std::map<std::string_view, unsigned> kNames = {
      {"string", kJsonString},   {"str", kJsonString},
      {"integer", kJsonInteger}, {"int", kJsonInteger},
      {"long", kJsonInteger},    {"any", kAnyJsonType},
      {"boolean", kJsonBoolean}, {"bool", kJsonBoolean},
      {"null", kJsonNull},       {"none", kJsonNull},
      {"array", kJsonArray},     {"list", kJsonArray},
      {"tuple", kJsonArray},     {"double", kJsonNumber | kJsonInteger},
      {"object", kJsonObject},   {"float", kJsonNumber | kJsonInteger},
      {"dict", kJsonObject},     {"number", kJsonNumber | kJsonInteger},
  };
  std::string name(text.substr(0, text.find('[')));
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c; });
  const auto it = kNames.find(name);
  return it == kNames.end() ? 0 : it->second;
}

unsigned type_of_value(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return kJsonNull;
    case Json::value_t::boolean:
      return kJsonBoolean;
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned:
      return kJsonInteger;
    case Json::value_t::number_float:
      return kJsonNumber | kJsonInteger;
    case Json::value_t::string:
      return kJsonString;
    case Json::value_t::array:
      return kJsonArray;
    case Json::value_t::object:
      return kJsonObject;
    default:
      return kAnyJsonType;
  }
}

// Reads the parameters of one tool. `root_` is what "#/..." refers to.
class SchemaReader {
 public:
  explicit SchemaReader(const Json& root) : root_(root) {}

  // What the schema of an object says of its members: itself, by reference, and in its alternatives. In one of these a
  // member may be what any of those that declare it allow.
  ToolSchema read_members(const Json& schema, int depth = 0) {
    ToolSchema found;
    if (!schema.is_object() || depth > kMaxSchemaDepth || ++schemas_read_ > kMaxSchemasRead) return found;
    if (const Json* properties = member(schema, "properties"); properties != nullptr && properties->is_object()) {
      for (const auto& [name, property] : properties->items()) narrow(found.parameters[name], property, 0);
    }
    if (const Json* additional = member(schema, "additionalProperties")) narrow(found.other, *additional, 0);
    if (const Json* reference = member(schema, "$ref")) {
      if (const Json* target = resolve(*reference)) narrow_members(found, read_members(*target, depth + 1));
    }
    if (const Json* all = member(schema, "allOf"); all != nullptr && all->is_array()) {
      for (const Json& part : *all) narrow_members(found, read_members(part, depth + 1));
    }
    for (const char* key : {"anyOf", "oneOf"}) {
      const Json* alternatives = member(schema, key);
      if (alternatives == nullptr || !alternatives->is_array()) continue;
      ToolSchema any;
      for (const Json& alternative : *alternatives) {
        for (const auto& [name, type] : read_members(alternative, depth + 1).parameters) {
          if (const auto [it, is_new] = any.parameters.emplace(name, type); !is_new) widen(it->second, type);
        }
      }
      narrow_members(found, any);
    }
    return found;
  }

 private:
  static void narrow_members(ToolSchema& found, const ToolSchema& more) {
    for (const auto& [name, type] : more.parameters) narrow_to(found.parameters[name], type);
    narrow_to(found.other, more.other);
  }

  static void narrow_to(ArgumentType& type, const ArgumentType& other) {
    restrict(type, other.types);
    type.values.insert(type.values.end(), other.values.begin(), other.values.end());
  }

  static void widen(ArgumentType& type, const ArgumentType& other) {
    type.types |= other.types;
    type.values.insert(type.values.end(), other.values.begin(), other.values.end());
  }

  // Takes from `type` what `schema` does not allow. A contradiction, which nothing could meet, is left aside.
  void narrow(ArgumentType& type, const Json& schema, int depth) {
    if (!schema.is_object() || depth > kMaxSchemaDepth || ++schemas_read_ > kMaxSchemasRead) return;
    if (const Json* reference = member(schema, "$ref")) {
      if (const Json* target = resolve(*reference)) narrow(type, *target, depth + 1);
    }
    if (const Json* names = member(schema, "type")) restrict(type, named(*names));
    if (const Json* values = member(schema, "enum")) restrict_to_values(type, *values);
    if (const Json* value = member(schema, "const")) restrict_to_values(type, Json::array({*value}));
    for (const char* key : {"anyOf", "oneOf"}) {
      if (const Json* alternatives = member(schema, key)) restrict_to_one_of(type, *alternatives, depth);
    }
    if (const Json* all = member(schema, "allOf"); all != nullptr && all->is_array()) {
      for (const Json& part : *all) narrow(type, part, depth + 1);
    }
    if (const Json* nullable = member(schema, "nullable"); nullable != nullptr && *nullable == true) {
      type.types |= kJsonNull;
    }
  }

  static void restrict(ArgumentType& type, unsigned types) {
    if ((type.types & types) != 0) type.types &= types;
  }

  static unsigned named(const Json& names) {
    if (names.is_string()) return types_named(names.get_ref<const std::string&>());
    unsigned types = 0;
    if (!names.is_array()) return 0;
    for (const Json& name : names) {
      const unsigned more = name.is_string() ? types_named(name.get_ref<const std::string&>()) : 0;
      if (more == 0) return 0;
      types |= more;
    }
    return types;
  }

  static void restrict_to_values(ArgumentType& type, const Json& values) {
    if (!values.is_array()) return;
    unsigned types = 0;
    for (const Json& value : values) {
      types |= type_of_value(value);
      type.values.push_back(value);
    }
    restrict(type, types);
  }

  void restrict_to_one_of(ArgumentType& type, const Json& alternatives, int depth) {
    if (!alternatives.is_array() || alternatives.empty()) return;
    unsigned types = 0;
    for (const Json& alternative : alternatives) {
      ArgumentType one;
      narrow(one, alternative, depth + 1);
      types |= one.types;
      type.values.insert(type.values.end(), one.values.begin(), one.values.end());
    }
    restrict(type, types);
  }

  // "#", or "#/$defs/Point" as RFC 6901 reads it.
  const Json* resolve(const Json& reference) const {
    if (!reference.is_string()) return nullptr;
    const std::string& text = reference.get_ref<const std::string&>();
    if (text.empty() || text.front() != '#') return nullptr;
    try {
      const Json::json_pointer pointer(text.substr(1));
      return root_.contains(pointer) ? &root_.at(pointer) : nullptr;
    } catch (const Json::exception&) {
      return nullptr;
    }
  }

  const Json& root_;
  int schemas_read_ = 0;
};

}  // namespace

const ArgumentType& ToolSchema::type_of(std::string_view parameter) const {
  const auto it = parameters.find(parameter);
  return it == parameters.end() ? other : it->second;
}

ToolSchemas::ToolSchemas(const Json& tools) {
  if (!tools.is_array()) return;
  static const Json kNothing = Json::object();
  for (const Json& entry : tools) {
    const Json* inner = member(entry, "function");
    const Json& tool = inner != nullptr && inner->is_object() ? *inner : entry;
    const Json* name = member(tool, "name");
    if (name == nullptr || !name->is_string()) continue;
    const Json* parameters = member(tool, "parameters");
    if (parameters == nullptr) parameters = member(tool, "input_schema");
    const Json& root = parameters != nullptr ? *parameters : kNothing;
    tools_.emplace(name->get<std::string>(), SchemaReader(root).read_members(root));
  }
}

const ToolSchema* ToolSchemas::find(std::string_view name) const {
  const auto it = tools_.find(name);
  return it == tools_.end() ? nullptr : &it->second;
}

std::string_view ToolSchemas::longest_name_in_front_of(std::string_view text) const {
  std::string_view longest;
  for (const auto& [name, tool] : tools_) {
    if (name.size() > longest.size() && name.size() < text.size() && text.starts_with(name)) longest = name;
  }
  return longest;
}

}  // namespace glimmer

// Tools as a request declares them, and the JSON types that their parameters may have.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace glimmer {

// A set of JSON types, as bits.
enum JsonTypes : unsigned {
  kJsonString = 1,
  kJsonInteger = 2,
  kJsonNumber = 4,  // always with kJsonInteger: JSON Schema's number takes integers too
  kJsonBoolean = 8,
  kJsonNull = 16,
  kJsonArray = 32,
  kJsonObject = 64,
  kAnyJsonType = 127,
};

struct ArgumentType {
  unsigned types = kAnyJsonType;  // JsonTypes; never empty
  std::vector<Json> values;       // those of enum and const

  bool is_only_string() const { return types == kJsonString; }
};

struct ToolSchema {
  std::map<std::string, ArgumentType, std::less<>> parameters;
  ArgumentType other;  // of parameters that are not declared: additionalProperties, else any

  bool declares(std::string_view parameter) const { return parameters.find(parameter) != parameters.end(); }
  const ArgumentType& type_of(std::string_view parameter) const;
};

// Immutable after construction.
class ToolSchemas {
 public:
  ToolSchemas() = default;

  // `tools` is a list as OpenAI's chat API has it ({"type": "function", "function": {"name", "parameters"}}), as its
  // responses API has it (name and parameters on top), or as Anthropic's has it ("input_schema"). An entry without a
  // name, or that is no object, declares nothing; of two with one name the first counts.
  //
  // Read of a parameter's schema: type (a name or a list, in small letters or capitals, Python's names as well), enum,
  // const, anyOf, oneOf, allOf, nullable, and $ref into the same document. What cannot be read (an unknown type, a $ref
  // that leads nowhere or in a circle) allows any type. The parameters themselves may stand behind $ref, allOf, anyOf
  // and oneOf, too; of alternatives, each that declares a parameter adds its types.
  explicit ToolSchemas(const Json& tools);

  bool empty() const { return tools_.empty(); }
  const ToolSchema* find(std::string_view name) const;  // null if not declared

  // The longest declared name that `text` begins with and goes on after; empty if there is none.
  std::string_view longest_name_in_front_of(std::string_view text) const;

 private:
  std::map<std::string, ToolSchema, std::less<>> tools_;
};

}  // namespace glimmer

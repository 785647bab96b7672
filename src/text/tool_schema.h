// Tools as a request declares them, and the JSON types that their parameters may have.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
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

// Values that a schema lists. They stay in the document that they were read from, which this keeps; a copy shares them.
class ArgumentValues {
 public:
  using List = std::vector<const Json*>;

  class Iterator {
   public:
    explicit Iterator(List::const_iterator at) : at_(at) {}
    const Json& operator*() const { return **at_; }
    Iterator& operator++() {
      ++at_;
      return *this;
    }
    bool operator==(const Iterator&) const = default;

   private:
    List::const_iterator at_;
  };

  ArgumentValues() = default;
  ArgumentValues(std::shared_ptr<const Json> document, std::shared_ptr<const List> list)
      : document_(std::move(document)), list_(std::move(list)) {}

  size_t size() const { return list_ == nullptr ? 0 : list_->size(); }
  bool empty() const { return size() == 0; }
  Iterator begin() const { return Iterator(list_ == nullptr ? List::const_iterator() : list_->begin()); }
  Iterator end() const { return Iterator(list_ == nullptr ? List::const_iterator() : list_->end()); }

 private:
  std::shared_ptr<const Json> document_;
  std::shared_ptr<const List> list_;
};

struct ArgumentType {
  unsigned types = kAnyJsonType;  // JsonTypes; never empty
  ArgumentValues values;          // those of enum and const

  bool is_only_string() const { return types == kJsonString; }
};

struct ToolSchema {
  std::map<std::string, ArgumentType, std::less<>> parameters;
  ArgumentType other;  // of parameters that are not declared: additionalProperties, else any

  bool declares(std::string_view parameter) const { return parameters.find(parameter) != parameters.end(); }
  const ArgumentType& type_of(std::string_view parameter) const;
};

inline constexpr int kMaxSchemaDepth = 64;
inline constexpr int64_t kMaxJoined = 100'000;

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
  //
  // Each schema is read once, however many refer to it, and values are shared, not copied: time and memory are linear
  // in the document. Two bounds: what stands behind more than kMaxSchemaDepth references and alternatives allows
  // anything; and once lists of values or parameters that had to be joined have kMaxJoined members together, what had
  // yet to be joined is left out and allows more. remarks() names the tools that were cut so.
  explicit ToolSchemas(const Json& tools) : ToolSchemas(std::make_shared<const Json>(tools)) {}
  explicit ToolSchemas(std::shared_ptr<const Json> tools);  // not null; kept

  bool empty() const { return tools_.empty(); }
  const ToolSchema* find(std::string_view name) const;  // null if not declared

  const std::vector<std::string>& remarks() const { return remarks_; }  // at most one a tool
  // What reading took: members, values and references that were looked at.
  int64_t steps() const { return steps_; }

  bool declares_beginning(std::string_view text) const;  // whether some declared name begins so

  // The longest declared name that `text` begins with and goes on after; empty if there is none.
  std::string_view longest_name_in_front_of(std::string_view text) const;

 private:
  std::map<std::string, ToolSchema, std::less<>> tools_;
  std::vector<std::string> remarks_;
  int64_t steps_ = 0;
};

}  // namespace glimmer

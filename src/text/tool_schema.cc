#include "text/tool_schema.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "base/quoted_name.h"

namespace glimmer {
namespace {

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

// What the tools of a request have in common while they are read.
struct Reading {
  std::shared_ptr<const Json> document;
  int64_t steps = 0;
  int64_t joined = 0;
};

// Reads the parameters of one tool. `root_` is what "#/..." refers to.
class SchemaReader {
 public:
  SchemaReader(const Json& root, Reading& reading) : root_(root), reading_(reading) {}

  ToolSchema read() {
    const Members& members = members_of(root_, 0);
    ToolSchema tool;
    for (const auto& [name, read] : members.parameters) tool.parameters.emplace(name, type_of(read));
    tool.other = type_of(members.other);
    return tool;
  }

  bool is_too_deep() const { return is_too_deep_; }
  bool has_too_much() const { return has_too_much_; }

 private:
  using List = std::shared_ptr<const ArgumentValues::List>;

  struct Read {
    unsigned types = kAnyJsonType;
    List values;               // null: nothing is said of them
    bool is_unlisted = false;  // they were too many
    bool is_done = false;      // else it is being read: who comes to it again goes in a circle
  };

  // What the schema of an object says of its members.
  struct Members {
    std::map<std::string_view, Read> parameters;
    Read other;
    bool is_done = false;
  };

  ArgumentType type_of(const Read& read) const { return {read.types, ArgumentValues(reading_.document, read.values)}; }

  const Members& members_of(const Json& schema, int depth) {
    static const Members kNone;
    ++reading_.steps;
    if (!schema.is_object()) return kNone;
    if (depth > kMaxSchemaDepth) {
      is_too_deep_ = true;
      return kNone;
    }
    const auto [place, is_new] = members_read_.try_emplace(&schema);
    Members& members = place->second;  // stays where it is
    if (!is_new) return members.is_done ? members : kNone;
    reading_.steps += static_cast<int64_t>(schema.size());
    read_members(members, schema, depth);
    members.is_done = true;
    return members;
  }

  // Those that it has itself, by reference, and in its alternatives. In one of these a member may be what any of those
  // that declare it allow.
  void read_members(Members& members, const Json& schema, int depth) {
    if (const Json* properties = member(schema, "properties"); properties != nullptr && properties->is_object()) {
      for (const auto& [name, property] : properties->get_ref<const Json::object_t&>()) {
        members.parameters.emplace(name, read_once(property, 0));
      }
    }
    if (const Json* additional = member(schema, "additionalProperties")) members.other = read_once(*additional, 0);
    if (const Json* reference = member(schema, "$ref")) {
      if (const Json* target = resolve(*reference)) narrow_members(members, members_of(*target, depth + 1));
    }
    if (const Json* all = member(schema, "allOf"); all != nullptr && all->is_array()) {
      for (const Json& part : *all) narrow_members(members, members_of(part, depth + 1));
    }
    for (const char* key : {"anyOf", "oneOf"}) {
      const Json* alternatives = member(schema, key);
      if (alternatives != nullptr && alternatives->is_array()) narrow_to_one_of(members, *alternatives, depth);
    }
  }

  void narrow_members(Members& members, const Members& more) {
    if (!may_join(more.parameters.size())) return;
    for (const auto& [name, read] : more.parameters) restrict_to(members.parameters[name], read);
    restrict_to(members.other, more.other);
  }

  void narrow_to_one_of(Members& members, const Json& alternatives, int depth) {
    struct Any {
      unsigned types = 0;
      std::vector<List> lists;
      bool is_unlisted = false;
    };
    std::map<std::string_view, Any> found;
    for (const Json& alternative : alternatives) {
      const Members& one = members_of(alternative, depth + 1);
      if (!may_join(one.parameters.size())) return;
      for (const auto& [name, read] : one.parameters) {
        Any& any = found[name];
        any.types |= read.types;
        any.lists.push_back(read.values);
        any.is_unlisted = any.is_unlisted || read.is_unlisted;
      }
    }
    for (auto& [name, any] : found) {
      Read& read = members.parameters[name];
      restrict(read, any.types);
      add_values(read, std::move(any.lists), any.is_unlisted);
    }
  }

  // Whether so much more may be copied to what else a schema says.
  bool may_join(size_t count) {
    reading_.steps += static_cast<int64_t>(count);
    reading_.joined += static_cast<int64_t>(count);
    if (reading_.joined <= kMaxJoined) return true;
    has_too_much_ = true;
    return false;
  }

  const Read& read_once(const Json& schema, int depth) {
    static const Read kAnything;
    ++reading_.steps;
    if (!schema.is_object()) return kAnything;
    if (depth > kMaxSchemaDepth) {
      is_too_deep_ = true;
      return kAnything;
    }
    const auto [place, is_new] = read_.try_emplace(&schema);
    Read& read = place->second;  // stays where it is
    if (!is_new) return read.is_done ? read : kAnything;
    reading_.steps += static_cast<int64_t>(schema.size());
    narrow(read, schema, depth);
    read.is_done = true;
    return read;
  }

  // Takes from `read` what `schema` does not allow. A contradiction, which nothing could meet, is left aside.
  void narrow(Read& read, const Json& schema, int depth) {
    if (const Json* reference = member(schema, "$ref")) {
      if (const Json* target = resolve(*reference)) restrict_to(read, read_once(*target, depth + 1));
    }
    if (const Json* names = member(schema, "type")) restrict(read, named(*names));
    if (const Json* values = member(schema, "enum"); values != nullptr && values->is_array()) {
      ArgumentValues::List list;
      list.reserve(values->size());
      for (const Json& value : *values) list.push_back(&value);
      restrict_to_values(read, std::move(list));
    }
    if (const Json* value = member(schema, "const")) restrict_to_values(read, {value});
    for (const char* key : {"anyOf", "oneOf"}) {
      if (const Json* alternatives = member(schema, key)) restrict_to_one_of(read, *alternatives, depth);
    }
    if (const Json* all = member(schema, "allOf"); all != nullptr && all->is_array()) {
      for (const Json& part : *all) restrict_to(read, read_once(part, depth + 1));
    }
    if (const Json* nullable = member(schema, "nullable"); nullable != nullptr && *nullable == true) {
      read.types |= kJsonNull;
    }
  }

  static void restrict(Read& read, unsigned types) {
    if ((read.types & types) != 0) read.types &= types;
  }

  void restrict_to(Read& read, const Read& other) {
    restrict(read, other.types);
    add_values(read, {other.values}, other.is_unlisted);
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

  void restrict_to_values(Read& read, ArgumentValues::List values) {
    reading_.steps += static_cast<int64_t>(values.size());
    unsigned types = 0;
    for (const Json* value : values) types |= type_of_value(*value);
    restrict(read, types);
    if (!values.empty()) add_values(read, {std::make_shared<const ArgumentValues::List>(std::move(values))}, false);
  }

  void restrict_to_one_of(Read& read, const Json& alternatives, int depth) {
    if (!alternatives.is_array() || alternatives.empty()) return;
    unsigned types = 0;
    std::vector<List> lists;
    bool is_unlisted = false;
    for (const Json& alternative : alternatives) {
      const Read& one = read_once(alternative, depth + 1);
      types |= one.types;
      is_unlisted = is_unlisted || one.is_unlisted;
      lists.push_back(one.values);
    }
    restrict(read, types);
    add_values(read, std::move(lists), is_unlisted);
  }

  // Adds lists to the values, each once; one that stands alone is shared.
  void add_values(Read& read, std::vector<List> lists, bool is_unlisted) {
    lists.insert(lists.begin(), std::exchange(read.values, nullptr));
    reading_.steps += static_cast<int64_t>(lists.size());
    std::unordered_set<const ArgumentValues::List*> seen = {nullptr};
    std::erase_if(lists, [&](const List& list) { return !seen.insert(list.get()).second; });
    size_t count = 0;
    for (const List& list : lists) count += list->size();
    const bool is_too_much = lists.size() > 1 && !may_join(count);
    read.is_unlisted = read.is_unlisted || is_unlisted || is_too_much;
    if (read.is_unlisted || lists.empty()) return;
    if (lists.size() == 1) {
      read.values = std::move(lists.front());
      return;
    }
    ArgumentValues::List all;
    all.reserve(count);
    for (const List& list : lists) all.insert(all.end(), list->begin(), list->end());
    read.values = std::make_shared<const ArgumentValues::List>(std::move(all));
  }

  // "#", or "#/$defs/Point" as RFC 6901 reads it.
  const Json* resolve(const Json& reference) {
    if (!reference.is_string()) return nullptr;
    std::string_view text = reference.get_ref<const std::string&>();
    reading_.steps += static_cast<int64_t>(text.size());
    if (!text.starts_with('#')) return nullptr;
    text.remove_prefix(1);
    const Json* at = &root_;
    while (at != nullptr && !text.empty()) {
      if (text.front() != '/') return nullptr;
      const size_t end = std::min(text.find('/', 1), text.size());
      const std::optional<std::string> name = unescaped(text.substr(1, end - 1));
      at = name ? child(*at, *name) : nullptr;
      text.remove_prefix(end);
    }
    return at;
  }

  // "~0" is "~" and "~1" is "/"; no other "~" may be.
  static std::optional<std::string> unescaped(std::string_view name) {
    std::string out;
    for (size_t i = 0; i < name.size(); ++i) {
      if (name[i] != '~') {
        out += name[i];
      } else if (++i < name.size() && (name[i] == '0' || name[i] == '1')) {
        out += name[i] == '0' ? '~' : '/';
      } else {
        return std::nullopt;
      }
    }
    return out;
  }

  const Json* child(const Json& parent, const std::string& name) {
    if (parent.is_array()) {
      size_t index = 0;
      const char* const end = name.data() + name.size();
      const auto [after, error] = std::from_chars(name.data(), end, index);
      const bool is_index = error == std::errc() && after == end && (name.size() == 1 || name.front() != '0');
      return is_index && index < parent.size() ? &parent[index] : nullptr;
    }
    if (!parent.is_object()) return nullptr;
    // Definitions may be thousands, and as many may refer to them; the library's objects are searched from the front.
    const auto [place, is_new] = index_.try_emplace(&parent);
    if (is_new) {
      reading_.steps += static_cast<int64_t>(parent.size());
      for (const auto& [key, value] : parent.get_ref<const Json::object_t&>()) place->second.emplace(key, &value);
    }
    const auto found = place->second.find(name);
    return found == place->second.end() ? nullptr : found->second;
  }

  const Json& root_;
  Reading& reading_;
  std::unordered_map<const Json*, Read> read_;
  std::unordered_map<const Json*, Members> members_read_;
  std::unordered_map<const Json*, std::unordered_map<std::string_view, const Json*>> index_;
  bool is_too_deep_ = false;
  bool has_too_much_ = false;
};

}  // namespace

const ArgumentType& ToolSchema::type_of(std::string_view parameter) const {
  const auto it = parameters.find(parameter);
  return it == parameters.end() ? other : it->second;
}

ToolSchemas::ToolSchemas(std::shared_ptr<const Json> tools) {
  if (!tools->is_array()) return;
  static const Json kNothing = Json::object();
  Reading reading{.document = tools};
  for (const Json& entry : *tools) {
    const Json* inner = member(entry, "function");
    const Json& tool = inner != nullptr && inner->is_object() ? *inner : entry;
    const Json* name = member(tool, "name");
    if (name == nullptr || !name->is_string()) continue;
    const Json* parameters = member(tool, "parameters");
    if (parameters == nullptr) parameters = member(tool, "input_schema");
    const Json& root = parameters != nullptr ? *parameters : kNothing;
    SchemaReader reader(root, reading);
    tools_.emplace(name->get<std::string>(), reader.read());
    if (!reader.is_too_deep() && !reader.has_too_much()) continue;
    remarks_.push_back(fmt::format("the schema of tool {} {}: some of its arguments may be anything",
                                   quoted_name(name->get_ref<const std::string&>()),
                                   reader.is_too_deep() ? "refers to itself too deeply" : "lists too much"));
  }
  steps_ = reading.steps;
}

const ToolSchema* ToolSchemas::find(std::string_view name) const {
  const auto it = tools_.find(name);
  return it == tools_.end() ? nullptr : &it->second;
}

bool ToolSchemas::declares_beginning(std::string_view text) const {
  const auto it = tools_.lower_bound(text);
  return it != tools_.end() && it->first.starts_with(text);
}

std::string_view ToolSchemas::longest_name_in_front_of(std::string_view text) const {
  std::string_view longest;
  for (const auto& [name, tool] : tools_) {
    if (name.size() > longest.size() && name.size() < text.size() && text.starts_with(name)) longest = name;
  }
  return longest;
}

}  // namespace glimmer

// str.format: replacement fields with attribute and item lookups, which go through the sandbox.
#include "base/error.h"
#include "text/jinja/budget.h"
#include "text/jinja/format.h"
#include "text/jinja/operators.h"

namespace glimmer::jinja {
namespace {

constexpr int kMaxNesting = 2;  // of {} inside a format specification, as in Python

class BraceFormatter {
 public:
  explicit BraceFormatter(const Args& args) : args_(args) {}

  std::string run(std::string_view format, int depth) {
    if (depth > kMaxNesting) fail(ErrorCode::kInvalid, "Max string recursion exceeded");
    std::string out;
    for (size_t at = 0; at < format.size();) {
      if (Budget* budget = Budget::current()) budget->check_string(out.size());
      const char c = format[at];
      if (c != '{' && c != '}') {
        out += c;
        ++at;
        continue;
      }
      if (at + 1 < format.size() && format[at + 1] == c) {
        out += c;
        at += 2;
        continue;
      }
      if (c == '}') fail(ErrorCode::kInvalid, "Single '}}' encountered in format string");
      const size_t end = field_end(format, at + 1);
      out += field(format.substr(at + 1, end - at - 1), depth);
      at = end + 1;
    }
    return out;
  }

 private:
  // The '}' that closes the field whose text begins at `at`.
  static size_t field_end(std::string_view format, size_t at) {
    int depth = 1;
    bool in_index = false;
    for (; at < format.size(); ++at) {
      const char c = format[at];
      if (c == '[' && depth == 1) in_index = true;
      if (c == ']') in_index = false;
      if (in_index) continue;
      if (c == '{') ++depth;
      if (c == '}' && --depth == 0) return at;
    }
    fail(ErrorCode::kInvalid, "Single '{{' encountered in format string");
  }

  std::string field(std::string_view text, int depth) {
    size_t name_end = 0;
    bool in_index = false;
    while (name_end < text.size() && (in_index || (text[name_end] != '!' && text[name_end] != ':'))) {
      if (text[name_end] == '[') in_index = true;
      if (text[name_end] == ']') in_index = false;
      ++name_end;
    }
    Value value = lookup(text.substr(0, name_end));
    std::string_view rest = text.substr(name_end);
    if (rest.starts_with('!')) {
      if (rest.size() < 2 || (rest.size() > 2 && rest[2] != ':')) {
        fail(ErrorCode::kInvalid, "expected ':' after conversion specifier");
      }
      value = convert(value, rest[1]);
      rest.remove_prefix(2);
    }
    const std::string spec = rest.empty() ? "" : run(rest.substr(1), depth + 1);
    return format_value(value, spec);
  }

  static Value convert(const Value& value, char conversion) {
    if (conversion == 's') return Value::string(to_str(value));
    if (conversion == 'r' || conversion == 'a') return Value::string(to_repr(value));
    fail(ErrorCode::kInvalid, "Unknown conversion specifier {}", conversion);
  }

  static bool is_number(std::string_view text) {
    return !text.empty() && text.size() < 10 && text.find_first_not_of("0123456789") == text.npos;
  }

  Value first(std::string_view name) {
    if (name.empty()) {
      if (manual_)
        fail(ErrorCode::kInvalid, "cannot switch from manual field specification to automatic field numbering");
      automatic_ = true;
      return positional(next_++);
    }
    if (is_number(name)) {
      if (automatic_) fail(ErrorCode::kInvalid, "cannot switch from automatic field numbering to manual");
      manual_ = true;
      return positional(static_cast<size_t>(std::stoul(std::string(name))));
    }
    for (const auto& [key, value] : args_.keywords) {
      if (key == name) return value;
    }
    fail(ErrorCode::kInvalid, "KeyError: '{}' in format string", name);
  }

  Value positional(size_t index) const {
    if (index >= args_.positional.size()) {
      fail(ErrorCode::kInvalid, "Replacement index {} out of range for positional args tuple", index);
    }
    return args_.positional[index];
  }

  // name(.attribute | [index])*
  Value lookup(std::string_view text) {
    const size_t name_end = std::min(text.find_first_of(".["), text.size());
    Value value = first(text.substr(0, name_end));
    for (size_t at = name_end; at < text.size();) {
      const bool attribute = text[at] == '.';
      if (!attribute && text[at] != '[')
        fail(ErrorCode::kInvalid, "Only '.' or '[' may follow ']' in format field specifier");
      const size_t begin = at + 1;
      const size_t end = attribute ? std::min(text.find_first_of(".[", begin), text.size()) : text.find(']', begin);
      if (end == text.npos) fail(ErrorCode::kInvalid, "Missing ']' in format string");
      if (end == begin) fail(ErrorCode::kInvalid, "Empty attribute in format string");
      const std::string_view part = text.substr(begin, end - begin);
      if (attribute) {
        value = get_attribute(value, part);
      } else {
        value = get_item(
            value, is_number(part) ? Value::integer(std::stol(std::string(part))) : Value::string(std::string(part)));
      }
      at = attribute ? end : end + 1;
    }
    return value;
  }

  const Args& args_;
  size_t next_ = 0;
  bool automatic_ = false;
  bool manual_ = false;
};

}  // namespace

std::string brace_format(std::string_view format, const Args& args) { return BraceFormatter(args).run(format, 0); }

}  // namespace glimmer::jinja

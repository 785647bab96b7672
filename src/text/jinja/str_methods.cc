// Methods of str.
#include "text/jinja/str_methods.h"

#include <algorithm>

#include "base/error.h"
#include "base/utf8.h"
#include "text/jinja/budget.h"
#include "text/jinja/format.h"
#include "text/jinja/method_tables.h"
#include "text/jinja/search.h"
#include "text/jinja/unicode.h"

namespace glimmer::jinja {

std::string replace_text(std::string_view text, std::string_view from, std::string_view to, int64_t count) {
  std::string out;
  size_t at = 0;
  const auto grown = [&out] {
    if (Budget* budget = Budget::current()) budget->check_string(out.size());
  };
  if (from.empty()) {  // between all code points, and at both ends
    while (count != 0) {
      out += to;
      grown();
      --count;
      if (at == text.size()) break;
      const uint32_t bytes = decode_utf8(text, at).size_bytes;
      out.append(text.substr(at, bytes));
      at += bytes;
    }
    return out.append(text.substr(at));
  }
  for (; count != 0; --count) {
    const size_t found = find_text(text, from, at);
    if (found == text.npos) break;
    out.append(text.substr(at, found - at));
    out += to;
    grown();
    at = found + from.size();
  }
  return out.append(text.substr(at));
}

std::vector<std::string> split_lines(std::string_view text, bool keep_ends) {
  std::vector<std::string> lines;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const CodePoint point = decode_utf8(text, at);
    const char32_t c = point.value;
    size_t end = at + point.size_bytes;
    const bool breaks = (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
    if (breaks) {
      if (c == '\r' && end < text.size() && text[end] == '\n') ++end;
      lines.emplace_back(text.substr(begin, (keep_ends ? end : at) - begin));
      begin = end;
    }
    at = end;
  }
  if (begin < text.size()) lines.emplace_back(text.substr(begin));
  return lines;
}

namespace {

constexpr int64_t kMaxPadding = 1 << 24;

std::string repeat(std::string_view fill, int64_t count) {
  if (count > kMaxPadding) fail(ErrorCode::kLimit, "a width above {}", kMaxPadding);
  std::string out;
  for (int64_t i = 0; i < count; ++i) out += fill;
  return out;
}

}  // namespace

std::string center_text(std::string_view text, int64_t width, std::string_view fill) {
  const int64_t margin = width - static_cast<int64_t>(count_code_points(text));
  if (margin <= 0) return std::string(text);
  const int64_t left = margin / 2 + (margin & width & 1);
  return repeat(fill, left) + std::string(text) + repeat(fill, margin - left);
}

namespace {

const std::string& self(const Call& call) { return call.self.text(); }

Value text_like(const Call& call, std::string text) {
  return Value::string_like(call.self.as_string(), std::move(text));
}

Value strings_like(const Call& call, const std::vector<std::string>& parts) {
  Values items;
  items.reserve(parts.size());
  for (const std::string& part : parts) items.push_back(text_like(call, part));
  return Value::list(std::move(items));
}

void no_arguments(const Call& call) { call.bind({}); }

int64_t optional_int(const Call& call, const Value& value, std::string_view parameter, int64_t fallback) {
  return value.is_missing() || value.is_none() ? fallback : int_argument(value, call.name, parameter);
}

// text[start:end] in bytes, with code point bounds as str.find takes them. `valid` is false when start is past the end.
struct Part {
  size_t begin = 0;
  std::string_view text;
  bool valid = true;
};

Part part_of(const Call& call, const Value& start_value, const Value& end_value) {
  const std::string& text = self(call);
  if (start_value.is_missing() && end_value.is_missing()) return {0, text, true};
  const int64_t length = length_of(call.self);
  const auto bound = [&](const Value& value, std::string_view name, int64_t fallback) {
    const int64_t index = optional_int(call, value, name, fallback);
    return index < 0 ? std::max<int64_t>(index + length, 0) : index;
  };
  const int64_t start = bound(start_value, "start", 0);
  const int64_t end = std::min(bound(end_value, "end", length), length);
  if (start > length || start > end) return {0, {}, false};
  const auto byte_of = [&](int64_t index) {
    if (call.self.as_string().ascii) return static_cast<size_t>(index);
    size_t at = 0;
    while (index-- > 0) at += decode_utf8(text, at).size_bytes;
    return at;
  };
  charge_work(4 * text.size());
  const size_t begin = byte_of(start);
  return {begin, std::string_view(text).substr(begin, byte_of(end) - begin), true};
}

Value strip_method(const Call& call, StripSide side) {
  const Values args = call.bind({"chars"});
  const bool spaces = args[0].is_missing() || args[0].is_none();
  const std::string_view stripped =
      spaces ? strip(self(call), side) : strip(self(call), side, string_argument(args[0], call.name, "chars"));
  charge_work(4 * (self(call).size() - stripped.size()));
  return text_like(call, std::string(stripped));
}

std::vector<std::string> split_space(std::string_view text, int64_t limit) {
  std::vector<std::string> parts;
  text = strip(text, StripSide::kLeft);
  while (!text.empty()) {
    if (limit-- == 0) {
      parts.emplace_back(text);
      break;
    }
    size_t at = 0;
    while (at < text.size()) {
      const CodePoint point = decode_utf8(text, at);
      if (is_space(point.value)) break;
      at += point.size_bytes;
    }
    parts.emplace_back(text.substr(0, at));
    text = strip(text.substr(at), StripSide::kLeft);
  }
  return parts;
}

std::vector<std::string> rsplit_space(std::string_view text, int64_t limit) {
  std::vector<std::string> parts;
  text = strip(text, StripSide::kRight);
  while (!text.empty()) {
    if (limit-- == 0) {
      parts.emplace_back(text);
      break;
    }
    size_t at = text.size();
    while (at > 0) {
      size_t previous = at - 1;
      while (previous > 0 && (static_cast<uint8_t>(text[previous]) & 0xC0) == 0x80) --previous;
      if (is_space(decode_utf8(text, previous).value)) break;
      at = previous;
    }
    parts.emplace_back(text.substr(at));
    text = strip(text.substr(0, at), StripSide::kRight);
  }
  std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<std::string> split_by(std::string_view text, std::string_view separator, int64_t limit) {
  std::vector<std::string> parts;
  size_t at = 0;
  for (; limit != 0; --limit) {
    const size_t found = find_text(text, separator, at);
    if (found == text.npos) break;
    parts.emplace_back(text.substr(at, found - at));
    at = found + separator.size();
  }
  parts.emplace_back(text.substr(at));
  return parts;
}

std::vector<std::string> rsplit_by(std::string_view text, std::string_view separator, int64_t limit) {
  std::vector<std::string> parts;
  for (; limit != 0; --limit) {
    const size_t found = rfind_text(text, separator);
    if (found == text.npos) break;
    parts.emplace_back(text.substr(found + separator.size()));
    text = text.substr(0, found);
  }
  parts.emplace_back(text);
  std::reverse(parts.begin(), parts.end());
  return parts;
}

Value split_method(const Call& call, bool from_right) {
  const Values args = call.bind({"sep", "maxsplit"});
  const int64_t limit = optional_int(call, args[1], "maxsplit", -1);
  charge_work(4 * self(call).size());
  if (args[0].is_missing() || args[0].is_none()) {
    return strings_like(call, from_right ? rsplit_space(self(call), limit) : split_space(self(call), limit));
  }
  const std::string& separator = string_argument(args[0], call.name, "sep");
  if (separator.empty()) fail(ErrorCode::kInvalid, "empty separator");
  return strings_like(call,
                      from_right ? rsplit_by(self(call), separator, limit) : split_by(self(call), separator, limit));
}

Value partition_method(const Call& call, bool from_right) {
  const Values args = call.bind({"sep"}, 1);
  const std::string& separator = string_argument(args[0], call.name, "sep");
  if (separator.empty()) fail(ErrorCode::kInvalid, "empty separator");
  const std::string& text = self(call);
  const size_t at = from_right ? rfind_text(text, separator) : find_text(text, separator);
  if (at == text.npos) {
    const Value empty = text_like(call, "");
    return from_right ? Value::tuple({empty, empty, call.self}) : Value::tuple({call.self, empty, empty});
  }
  return Value::tuple({text_like(call, text.substr(0, at)), text_like(call, separator),
                       text_like(call, text.substr(at + separator.size()))});
}

// Code point index of the substring, or -1.
int64_t find_index(const Call& call, bool from_right) {
  const Values args = call.bind({"sub", "start", "end"}, 1);
  const std::string& needle = string_argument(args[0], call.name, "sub");
  const Part part = part_of(call, args[1], args[2]);
  if (!part.valid) return -1;
  const size_t found = from_right ? rfind_text(part.text, needle) : find_text(part.text, needle);
  if (found == part.text.npos) return -1;
  const std::string_view before = std::string_view(self(call)).substr(0, part.begin + found);
  return call.self.as_string().ascii ? static_cast<int64_t>(before.size())
                                     : static_cast<int64_t>(count_code_points(before));
}

Value index_method(const Call& call, bool from_right) {
  const int64_t index = find_index(call, from_right);
  if (index < 0) fail(ErrorCode::kInvalid, "substring not found");
  return Value::integer(index);
}

Value count_method(const Call& call) {
  const Values args = call.bind({"sub", "start", "end"}, 1);
  const std::string& needle = string_argument(args[0], call.name, "sub");
  const Part part = part_of(call, args[1], args[2]);
  if (!part.valid) return Value::integer(0);
  if (needle.empty()) return Value::integer(static_cast<int64_t>(count_code_points(part.text)) + 1);
  int64_t count = 0;
  for (size_t at = 0; (at = find_text(part.text, needle, at)) != part.text.npos; at += needle.size()) ++count;
  return Value::integer(count);
}

Value affix_method(const Call& call, bool suffix) {
  const Values args = call.bind({"prefix", "start", "end"}, 1);
  const Part part = part_of(call, args[1], args[2]);
  const auto matches = [&](const Value& affix) {
    const std::string& text = string_argument(affix, call.name, "first");
    return part.valid && (suffix ? part.text.ends_with(text) : part.text.starts_with(text));
  };
  if (!args[0].is(Type::kTuple)) return Value::boolean(matches(args[0]));
  const Values& affixes = args[0].items();
  return Value::boolean(std::any_of(affixes.begin(), affixes.end(), matches));
}

Value replace_method(const Call& call) {
  const Values args = call.bind({"old", "new", "count"}, 2);
  return text_like(call,
                   replace_text(self(call), string_argument(args[0], call.name, "old"),
                                string_argument(args[1], call.name, "new"), optional_int(call, args[2], "count", -1)));
}

Value join_method(const Call& call) {
  const Values args = call.bind({"iterable"}, 1);
  std::string out;
  bool first = true;
  for (const Value& item : collect(args[0])) {
    if (!item.is_string()) fail(ErrorCode::kInvalid, "sequence item: expected str instance, {} found", type_name(item));
    if (!first) out += self(call);
    first = false;
    append_str(out, item);
  }
  return text_like(call, std::move(out));
}

std::string fill_argument(const Call& call, const Value& value) {
  if (value.is_missing()) return " ";
  const std::string& fill = string_argument(value, call.name, "fillchar");
  if (count_code_points(fill) != 1) fail(ErrorCode::kInvalid, "the fill character must be exactly one character long");
  return fill;
}

Value justify_method(const Call& call, char side) {
  const Values args = call.bind({"width", "fillchar"}, 1);
  const int64_t width = std::max<int64_t>(int_argument(args[0], call.name, "width"), 0);
  const std::string fill = fill_argument(call, args[1]);
  if (side == '^') return text_like(call, center_text(self(call), width, fill));
  const std::string padding = repeat(fill, width - length_of(call.self));
  return text_like(call, side == '<' ? self(call) + padding : padding + self(call));
}

Value zfill_method(const Call& call) {
  const Values args = call.bind({"width"}, 1);
  const std::string& text = self(call);
  const std::string zeros =
      repeat("0", std::max<int64_t>(int_argument(args[0], call.name, "width"), 0) - length_of(call.self));
  const bool sign = !text.empty() && (text[0] == '-' || text[0] == '+');
  return text_like(call, sign ? text.substr(0, 1) + zeros + text.substr(1) : zeros + text);
}

Value remove_affix_method(const Call& call, bool suffix) {
  const Values args = call.bind({"affix"}, 1);
  const std::string& affix = string_argument(args[0], call.name, "affix");
  std::string_view text = self(call);
  if (suffix && !affix.empty() && text.ends_with(affix)) text.remove_suffix(affix.size());
  if (!suffix && text.starts_with(affix)) text.remove_prefix(affix.size());
  return text_like(call, std::string(text));
}

Value splitlines_method(const Call& call) {
  const Values args = call.bind({"keepends"});
  return strings_like(call, split_lines(self(call), !args[0].is_missing() && truthy(args[0])));
}

Value swapcase_method(const Call& call) {
  no_arguments(call);
  std::string out;
  for (char32_t c : to_code_points(self(call))) {
    std::string one;
    append_utf8(one, c);
    const uint16_t classes = char_classes(c);
    out += classes & kUpper ? lower(one) : classes & kLower ? upper(one) : one;
  }
  return text_like(call, std::move(out));
}

Value expandtabs_method(const Call& call) {
  const Values args = call.bind({"tabsize"});
  const int64_t size = optional_int(call, args[0], "tabsize", 8);
  std::string out;
  int64_t column = 0;
  for (char32_t c : to_code_points(self(call))) {
    if (c == '\t') {
      const int64_t spaces = size > 0 ? size - column % size : 0;
      out += repeat(" ", spaces);
      column += spaces;
    } else {
      append_utf8(out, c);
      column = c == '\n' || c == '\r' ? 0 : column + 1;
    }
    if (Budget* budget = Budget::current()) budget->check_string(out.size());
  }
  return text_like(call, std::move(out));
}

// Whether the string has code points and all are of one of `classes`.
template <uint16_t kClasses>
Value all_of_class(const Call& call) {
  no_arguments(call);
  const std::u32string points = to_code_points(self(call));
  const bool all =
      std::all_of(points.begin(), points.end(), [](char32_t c) { return (char_classes(c) & kClasses) != 0; });
  return Value::boolean(all && (!points.empty() || kClasses == kPrintable));
}

Value is_ascii_method(const Call& call) {
  no_arguments(call);
  return Value::boolean(call.self.as_string().ascii);
}

Value is_identifier_method(const Call& call) {
  no_arguments(call);
  const std::u32string points = to_code_points(self(call));
  bool valid = !points.empty() && (char_classes(points[0]) & kIdStart);
  for (char32_t c : points) valid = valid && (char_classes(c) & kIdContinue);
  return Value::boolean(valid);
}

// Titlecase: uppercase after uncased and lowercase after cased, at least one cased.
Value is_title_method(const Call& call) {
  no_arguments(call);
  bool previous_cased = false;
  bool any = false;
  for (char32_t c : to_code_points(self(call))) {
    const uint16_t classes = char_classes(c);
    const bool starts = (classes & (kUpper | kTitle)) != 0;
    if ((starts && previous_cased) || ((classes & kLower) && !previous_cased)) return Value::boolean(false);
    previous_cased = is_cased(c);
    any = any || previous_cased;
  }
  return Value::boolean(any);
}

template <std::string (*kMap)(std::string_view)>
Value mapped(const Call& call) {
  no_arguments(call);
  return text_like(call, kMap(self(call)));
}

Value format_map_method(const Call& call) {
  const Values args = call.bind({"mapping"}, 1);
  if (!args[0].is(Type::kDict)) fail(ErrorCode::kInvalid, "format_map() needs a mapping, not {}", type_name(args[0]));
  Args named;
  for (const auto& [key, value] : args[0].as_dict().entries) {
    if (key.is_string()) named.keywords.emplace_back(key.text(), value);
  }
  return text_like(call, brace_format(self(call), named));
}

Value not_supported(const Call& call) {
  fail(ErrorCode::kUnsupported, "the str method '{}' is not supported in templates", call.name);
}

constexpr NamedFunction kMethods[] = {
    {"capitalize", mapped<capitalize>},
    {"casefold", mapped<casefold>},
    {"center", [](const Call& call) { return justify_method(call, '^'); }},
    {"count", count_method},
    {"encode", not_supported},
    {"endswith", [](const Call& call) { return affix_method(call, true); }},
    {"expandtabs", expandtabs_method},
    {"find", [](const Call& call) { return Value::integer(find_index(call, false)); }},
    {"format", [](const Call& call) { return text_like(call, brace_format(self(call), call.args)); }},
    {"format_map", format_map_method},
    {"index", [](const Call& call) { return index_method(call, false); }},
    {"isalnum", all_of_class<kAlpha | kDecimal | kDigit | kNumeric>},
    {"isalpha", all_of_class<kAlpha>},
    {"isascii", is_ascii_method},
    {"isdecimal", all_of_class<kDecimal>},
    {"isdigit", all_of_class<kDigit>},
    {"isidentifier", is_identifier_method},
    {"islower", [](const Call& call) { return Value::boolean(is_lower_text(self(call))); }},
    {"isnumeric", all_of_class<kNumeric>},
    {"isprintable", all_of_class<kPrintable>},
    {"isspace", all_of_class<kSpace>},
    {"istitle", is_title_method},
    {"isupper", [](const Call& call) { return Value::boolean(is_upper_text(self(call))); }},
    {"join", join_method},
    {"ljust", [](const Call& call) { return justify_method(call, '<'); }},
    {"lower", mapped<lower>},
    {"lstrip", [](const Call& call) { return strip_method(call, StripSide::kLeft); }},
    {"maketrans", not_supported},
    {"partition", [](const Call& call) { return partition_method(call, false); }},
    {"removeprefix", [](const Call& call) { return remove_affix_method(call, false); }},
    {"removesuffix", [](const Call& call) { return remove_affix_method(call, true); }},
    {"replace", replace_method},
    {"rfind", [](const Call& call) { return Value::integer(find_index(call, true)); }},
    {"rindex", [](const Call& call) { return index_method(call, true); }},
    {"rjust", [](const Call& call) { return justify_method(call, '>'); }},
    {"rpartition", [](const Call& call) { return partition_method(call, true); }},
    {"rsplit", [](const Call& call) { return split_method(call, true); }},
    {"rstrip", [](const Call& call) { return strip_method(call, StripSide::kRight); }},
    {"split", [](const Call& call) { return split_method(call, false); }},
    {"splitlines", splitlines_method},
    {"startswith", [](const Call& call) { return affix_method(call, false); }},
    {"strip", [](const Call& call) { return strip_method(call, StripSide::kBoth); }},
    {"swapcase", swapcase_method},
    {"title", mapped<title>},
    {"translate", not_supported},
    {"upper", mapped<upper>},
    {"zfill", zfill_method},
};

}  // namespace

std::span<const NamedFunction> str_methods() { return kMethods; }

bool is_lower_text(std::string_view text) {
  bool any = false;
  for (char32_t c : to_code_points(text)) {
    const uint16_t classes = char_classes(c);
    if (classes & (kUpper | kTitle)) return false;
    any = any || (classes & kLower);
  }
  return any;
}

bool is_upper_text(std::string_view text) {
  bool any = false;
  for (char32_t c : to_code_points(text)) {
    const uint16_t classes = char_classes(c);
    if (classes & (kLower | kTitle)) return false;
    any = any || (classes & kUpper);
  }
  return any;
}

}  // namespace glimmer::jinja

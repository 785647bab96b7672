#include "text/argument_value.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/error.h"

namespace glimmer {
namespace {

constexpr std::string_view kSpace = " \t\r\n";
constexpr std::string_view kBrackets = "{[(";
constexpr std::string_view kQuotes = "\"'";
constexpr size_t kLongestWordBytes = 5;  // false
constexpr int kMostZerosWritten = 64;    // of 1e64 as an integer

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) + 1 - begin);
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

size_t digits_at(std::string_view text, size_t at) {
  size_t count = 0;
  while (at + count < text.size() && is_digit(text[at + count])) ++count;
  return count;
}

enum class NumberForm { kNone, kInteger, kFraction };

// What of JSON's number grammar all of `text` is.
NumberForm number_form(std::string_view text) {
  size_t at = text.starts_with('-') ? 1 : 0;
  const size_t whole = digits_at(text, at);
  if (whole == 0 || (whole > 1 && text[at] == '0')) return NumberForm::kNone;
  at += whole;
  if (at == text.size()) return NumberForm::kInteger;
  if (text[at] == '.') {
    const size_t digits = digits_at(text, at + 1);
    if (digits == 0) return NumberForm::kNone;
    at += 1 + digits;
  }
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    ++at;
    if (at < text.size() && (text[at] == '+' || text[at] == '-')) ++at;
    const size_t digits = digits_at(text, at);
    if (digits == 0) return NumberForm::kNone;
    at += digits;
  }
  return at == text.size() ? NumberForm::kFraction : NumberForm::kNone;
}

// The digits of 3.0, 25e-1 or 2e3 where only integers are allowed; nullopt for what is none.
std::optional<std::string> integer_digits(std::string_view number) {
  const bool negative = number.starts_with('-');
  if (negative) number.remove_prefix(1);
  const size_t exponent_at = std::min(number.find_first_of("eE"), number.size());
  int exponent = 0;
  if (exponent_at < number.size()) {
    std::string_view text = number.substr(exponent_at + 1);
    if (text.starts_with('+')) text.remove_prefix(1);
    if (std::from_chars(text.data(), text.data() + text.size(), exponent).ec != std::errc()) return std::nullopt;
  }
  const std::string_view mantissa = number.substr(0, exponent_at);
  const size_t point = std::min(mantissa.find('.'), mantissa.size());
  std::string digits(mantissa.substr(0, point));
  if (point < mantissa.size()) digits += mantissa.substr(point + 1);
  digits.erase(0, std::min(digits.find_first_not_of('0'), digits.size()));
  if (digits.empty()) return "0";
  // What stands behind the point goes away, if it is nothing but zeros.
  const int64_t behind = static_cast<int64_t>(mantissa.size() - std::min(point + 1, mantissa.size())) - exponent;
  if (behind < -kMostZerosWritten) return std::nullopt;
  if (behind <= 0) {
    digits.append(static_cast<size_t>(-behind), '0');
  } else {
    const size_t whole = digits.size() - std::min(static_cast<size_t>(behind), digits.size());
    if (whole == 0 || digits.find_first_not_of('0', whole) != std::string::npos) return std::nullopt;
    digits.resize(whole);
  }
  return negative ? "-" + digits : digits;
}

std::optional<std::string> number_literal(std::string_view text, unsigned types) {
  const NumberForm form = number_form(text);
  if (form == NumberForm::kNone || (types & (kJsonNumber | kJsonInteger)) == 0) return std::nullopt;
  if (form == NumberForm::kInteger || (types & kJsonNumber) != 0) return std::string(text);
  return integer_digits(text);
}

bool equals_ignoring_case(std::string_view text, std::string_view lower) {
  return std::equal(text.begin(), text.end(), lower.begin(), lower.end(),
                    [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + ('a' - 'A') : a) == b; });
}

struct Word {
  std::string_view json;
  std::string_view python;
  unsigned type;
};
constexpr std::array<Word, 3> kWords = {
    {{"true", "True", kJsonBoolean}, {"false", "False", kJsonBoolean}, {"null", "None", kJsonNull}}};

std::optional<std::string> word_literal(std::string_view text, unsigned types, LiteralStyle style) {
  const bool string_allowed = (types & kJsonString) != 0;
  for (const Word& word : kWords) {
    if ((types & word.type) == 0) continue;
    const bool exact = text == word.json || (style == LiteralStyle::kPython && text == word.python);
    const bool loose = !string_allowed && (equals_ignoring_case(text, word.json) || text == word.python);
    if (exact || loose) return std::string(word.json);
  }
  return std::nullopt;
}

// Whether it is JSON by itself. What the parser refuses (twice the same key, too deep) is none.
bool is_json(std::string_view text) {
  try {
    (void)parse_json(text, "an argument");
    return true;
  } catch (const Error&) {
    return false;
  }
}

std::optional<std::string> literal(std::string_view text, unsigned types, LiteralStyle style);

// Arrays and objects. Where nothing can be a string, one that is not quite JSON is as clear.
std::optional<std::string> container_literal(std::string_view text, unsigned types) {
  const bool is_object = text.starts_with('{');
  if ((types & (is_object ? kJsonObject : kJsonArray)) == 0) return std::nullopt;
  if (!text.starts_with('(') && is_json(text)) return std::string(text);
  if ((types & kJsonString) != 0) return std::nullopt;
  if (auto json = loose_json(text)) return json;
  if (text.find('\\') == std::string_view::npos) return std::nullopt;
  const std::optional<std::string> inner = without_escapes(text);
  if (!inner) return std::nullopt;
  return is_json(*inner) ? inner : loose_json(*inner);
}

// What is in quotes is a string where nothing is declared; a declared string is taken as it is, quotes and all. Where
// there can be no string, it is what stands in them.
std::optional<std::string> quoted_literal(std::string_view text, unsigned types, LiteralStyle style) {
  if (types == kAnyJsonType)
    return text.front() == '"' && is_json(text) ? std::optional(std::string(text)) : std::nullopt;
  if ((types & kJsonString) != 0) return std::nullopt;
  const std::optional<std::string> inner = quoted_text(text);
  if (!inner || trimmed(*inner).empty() || kQuotes.find(trimmed(*inner).front()) != std::string_view::npos) {
    return std::nullopt;
  }
  return literal(*inner, types, style);
}

std::optional<std::string> literal(std::string_view text, unsigned types, LiteralStyle style) {
  text = trimmed(text);
  if (text.empty()) return std::nullopt;
  const char first = text.front();
  if (kBrackets.find(first) != std::string_view::npos) return container_literal(text, types);
  if (kQuotes.find(first) != std::string_view::npos) return quoted_literal(text, types, style);
  if (first == '-' || is_digit(first)) return number_literal(text, types);
  return word_literal(text, types, style);
}

// The string among an enum's members that `text` is, white space aside if need be.
std::optional<std::string> string_member(std::string_view text, const ArgumentType& type) {
  for (const std::string_view candidate : {text, trimmed(text)}) {
    for (const Json& value : type.values) {
      if (value.is_string() && value.get_ref<const std::string&>() == candidate) return std::string(candidate);
    }
  }
  return std::nullopt;
}

std::string escaped(std::string_view text) {
  const std::string quoted = json_string(text);
  return quoted.substr(1, quoted.size() - 2);
}

}  // namespace

std::string json_string(std::string_view text) { return dump_json(Json(std::string(text))); }

bool is_json_number(std::string_view text) { return number_form(text) != NumberForm::kNone; }

std::optional<std::string> argument_json(std::string_view text, const ArgumentType& type, LiteralStyle style) {
  if (!type.values.empty()) {
    if (const auto member = string_member(text, type)) return json_string(*member);
  }
  if (!type.is_only_string()) {
    if (auto found = literal(text, type.types, style)) return found;
  }
  if ((type.types & kJsonString) != 0) return json_string(text);
  return std::nullopt;
}

std::optional<std::string> retyped_json(std::string_view json, const ArgumentType& type) {
  const char first = json.front();
  const bool any_string = (type.types & kJsonString) != 0;
  if (first == '"') {
    if (any_string) return std::string(json);
    return argument_json(parse_json(json, "an argument").get_ref<const std::string&>(), type, LiteralStyle::kJson);
  }
  if (auto as_it_is = literal(json, type.types, LiteralStyle::kJson)) return as_it_is;
  if (!any_string || json == "null") return std::nullopt;
  return json_string(json);
}

ArgumentValue::ArgumentValue(const ArgumentType& type, LiteralStyle style) : type_(type), style_(style) {}

// Whether what came so far, of which `piece` is the end, may yet become something else than a plain string.
bool ArgumentValue::may_be_literal(std::string_view piece) {
  if (!type_.values.empty() || (type_.types & kJsonString) == 0) return true;
  if (type_.is_only_string()) return false;
  if (first_ == '\0') {
    const size_t begin = piece.find_first_not_of(kSpace);
    if (begin == std::string_view::npos) return true;
    piece.remove_prefix(begin);
    first_ = piece.front();
  }
  if (first_ == '{') return (type_.types & kJsonObject) != 0;
  if (first_ == '[') return (type_.types & kJsonArray) != 0;
  if (first_ == '"') return type_.types == kAnyJsonType;
  if (first_ == '-' || is_digit(first_)) {
    return (type_.types & (kJsonNumber | kJsonInteger)) != 0 &&
           piece.find_first_not_of("0123456789+-.eE \t\r\n") == std::string_view::npos;
  }
  word_ += piece.substr(0, kLongestWordBytes + 1 - word_.size());
  const std::string_view word = trimmed(word_);
  return std::any_of(kWords.begin(), kWords.end(), [&](const Word& known) {
    return (type_.types & known.type) != 0 &&
           (known.json.starts_with(word) || (style_ == LiteralStyle::kPython && known.python.starts_with(word)));
  });
}

std::string ArgumentValue::add(std::string_view piece) {
  if (piece.empty()) return {};
  if (streaming_) return escaped(piece);
  held_ += piece;
  if ((type_.types & kJsonString) == 0) {
    plain_.add(piece);
    escaped_.add(piece);
    has_angle_ = has_angle_ || piece.find('<') != std::string_view::npos;
    is_whole_.reset();
  }
  if (may_be_literal(piece)) return {};
  streaming_ = true;
  std::string out = "\"" + escaped(held_);
  held_.clear();
  return out;
}

std::string ArgumentValue::end() {
  if (streaming_) return "\"";
  const std::optional<std::string> json = argument_json(held_, type_, style_);
  fits_ = json.has_value();
  return json ? *json : json_string(held_);
}

std::string ArgumentValue::cut() {
  if (streaming_) return {};
  if (type_.types != kJsonString && type_.values.empty()) {
    if (auto whole = literal(held_, type_.types, style_)) return *whole;
  }
  streaming_ = true;
  return "\"" + escaped(held_);
}

// The text is read only where it may be whole: a tag inside of it makes the next answer no dearer.
bool ArgumentValue::is_whole_literal() {
  if ((type_.types & kJsonString) != 0) return false;
  if (has_angle_ && !plain_.may_be_whole() && !escaped_.may_be_whole()) return false;
  if (!is_whole_) {
    ++whole_reads_;
    is_whole_ = argument_json(held_, type_, style_).has_value();
  }
  return *is_whole_;
}

}  // namespace glimmer

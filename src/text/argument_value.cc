#include "text/argument_value.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>

#include "base/error.h"

namespace glimmer {
namespace {

constexpr std::string_view kSpace = " \t\r\n";
constexpr size_t kLongestWordBytes = 5;                      // false
constexpr double kLargestExactInteger = 9007199254740992.0;  // 2^53

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

std::optional<std::string> number_literal(std::string_view text, unsigned types) {
  const NumberForm form = number_form(text);
  if (form == NumberForm::kNone || (types & (kJsonNumber | kJsonInteger)) == 0) return std::nullopt;
  if (form == NumberForm::kInteger || (types & kJsonNumber) != 0) return std::string(text);
  const double value = std::strtod(std::string(text).c_str(), nullptr);
  if (std::trunc(value) != value || std::abs(value) > kLargestExactInteger) return std::nullopt;
  return fmt::format("{:.0f}", value == 0 ? 0.0 : value);
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

// Arrays, objects, and strings in quotes. Whatever the parser refuses (twice the same key, too deep) is no literal.
std::optional<std::string> structured_literal(std::string_view text, unsigned types) {
  const unsigned type = text.starts_with('{') ? kJsonObject : text.starts_with('[') ? kJsonArray : kJsonString;
  // A quoted string is a literal only where nothing is declared; a declared string is taken as it is.
  if ((types & type) == 0 || (type == kJsonString && types != kAnyJsonType)) return std::nullopt;
  try {
    (void)parse_json(text, "an argument");
  } catch (const Error&) {
    return std::nullopt;
  }
  return std::string(text);
}

std::optional<std::string> literal(std::string_view text, unsigned types, LiteralStyle style) {
  text = trimmed(text);
  if (text.empty()) return std::nullopt;
  const char first = text.front();
  if (first == '{' || first == '[' || first == '"') return structured_literal(text, types);
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

bool ArgumentValue::is_whole_literal() const {
  return (type_.types & kJsonString) == 0 && argument_json(held_, type_, style_).has_value();
}

}  // namespace glimmer

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include "base/error.h"
#include "base/utf8.h"
#include "text/pre_tokenizer_regex.h"
#include "text/pre_tokenizer_unicode.h"

namespace glimmer {
namespace {

constexpr size_t kMaxPatternBytes = 65536;
constexpr int kMaxGroupDepth = 64;
constexpr std::array<std::string_view, 34> kCategories = {
    "L",  "Lu", "Ll", "Lt", "Lm", "Lo", "M",  "Mn", "Mc", "Me", "N", "Nd", "Nl", "No", "P",  "Pc", "Pd",
    "Ps", "Pe", "Pi", "Pf", "Po", "S",  "Sm", "Sc", "Sk", "So", "Z", "Zs", "Zl", "Zp", "Cc", "Cf", "Han"};

void append_range(std::string& out, char32_t low, char32_t high) {
  fmt::format_to(std::back_inserter(out), "\\x{{{:X}}}", static_cast<uint32_t>(low));
  if (high > low) fmt::format_to(std::back_inserter(out), "-\\x{{{:X}}}", static_cast<uint32_t>(high));
}

// \s as the inside of a class.
std::string space_items() {
  std::string out;
  for (const CodePointRange& range : space_ranges()) append_range(out, range.low, range.high);
  return out;
}

// \S as the inside of a class.
std::string not_space_items() {
  std::string out;
  char32_t next = 0;
  for (const CodePointRange& range : space_ranges()) {
    append_range(out, next, range.low - 1);
    next = range.high + 1;
  }
  append_range(out, next, 0x10FFFF);
  return out;
}

// What `category` has gained since PCRE2's Unicode version, as the inside of a class.
std::string newer_items(std::string_view category) {
  std::string out;
  for (const CategoryRange& row : category_ranges_since_unicode14()) {
    const bool belongs = category == "Han" ? row.category == category : row.category.starts_with(category);
    if (belongs) append_range(out, row.range.low, row.range.high);
  }
  return out;
}

class Translator {
 public:
  Translator(std::string_view pattern, std::string_view where) : in_(pattern), where_(where) {}

  std::string run() {
    if (in_.size() > kMaxPatternBytes) {
      fail(ErrorCode::kLimit, "{}: a pattern of {} bytes, at most {} are allowed", where_, in_.size(),
           kMaxPatternBytes);
    }
    while (at_ < in_.size()) step();
    if (!groups_.empty()) unsupported("a group that is not closed");
    return std::move(out_);
  }

 private:
  [[noreturn]] void unsupported(std::string_view what) const {
    fail(ErrorCode::kUnsupported, "{}: the regular expression has {} at byte {}, which Glimmer does not know: {}",
         where_, what, at_, in_.substr(0, 200));
  }

  bool more() const { return at_ < in_.size(); }
  char peek(size_t ahead = 0) const { return at_ + ahead < in_.size() ? in_[at_ + ahead] : '\0'; }

  void step() {
    const char c = peek();
    if (c == '(') return open_group();
    if (c == ')') return close_group();
    if (c == '|') {
      out_ += in_[at_++];
      atom_ = out_.size();
      group_start_ = out_.size();
      return;
    }
    if (c == '*' || c == '+' || c == '?') {
      out_ += in_[at_++];
      return;
    }
    if (c == '{') return interval();
    atom_ = out_.size();
    if (c == '[') return char_class();
    if (c == '\\') {
      ++at_;
      return escape_outside();
    }
    out_ += in_[at_++];
    while (more() && (static_cast<uint8_t>(in_[at_]) & 0xC0) == 0x80) out_ += in_[at_++];
  }

  void open_group() {
    if (groups_.size() >= kMaxGroupDepth) unsupported("groups nested too deep");
    static constexpr std::array<std::string_view, 7> kPlain = {"(?<=", "(?<!", "(?:", "(?=", "(?!", "(?>", "("};
    const std::string_view rest = in_.substr(at_);
    for (const std::string_view opener : kPlain) {
      if (!rest.starts_with(opener)) continue;
      if (opener == "(" && rest.starts_with("(?")) return options();
      push_group(opener == "(" ? "(?:" : opener);
      at_ += opener.size();
      return;
    }
  }

  void push_group(std::string_view opener) {
    groups_.push_back(out_.size());
    out_ += opener;
    atom_ = out_.size();
    group_start_ = out_.size();
  }

  // (?i: ...) or, at the start of a group or alternative, (?i). Elsewhere Ruby and PCRE2 disagree on its reach.
  void options() {
    const size_t begin = at_;
    at_ += 2;
    std::string flags;
    while (more() && (peek() == 'i' || peek() == 'm' || peek() == '-')) {
      flags += peek() == 'm' ? 's' : peek();  // Ruby's m lets the dot match a newline
      ++at_;
    }
    if (peek() == ':') {
      ++at_;
      return push_group("(?" + flags + ":");
    }
    const bool at_group_start = group_start_ == out_.size();
    if (peek() == ')' && at_group_start) {
      ++at_;
      out_ += "(?" + flags + ")";
      atom_ = out_.size();
      return;
    }
    at_ = begin;
    unsupported("a group of an unknown kind");
  }

  void close_group() {
    if (groups_.empty()) unsupported("a ) without its (");
    out_ += ')';
    ++at_;
    atom_ = groups_.back();
    groups_.pop_back();
  }

  // {n}, {n,}, {,m}, {n,m}; a brace that begins none of these is itself.
  void interval() {
    size_t end = at_ + 1;
    const auto digits = [&] {
      const size_t begin = end;
      while (end < in_.size() && in_[end] >= '0' && in_[end] <= '9') ++end;
      return std::string(in_.substr(begin, end - begin));
    };
    const std::string low = digits();
    const bool comma = end < in_.size() && in_[end] == ',';
    if (comma) ++end;
    const std::string high = comma ? digits() : low;
    if (end >= in_.size() || in_[end] != '}' || (low.empty() && high.empty())) {
      atom_ = out_.size();
      out_ += "\\{";
      ++at_;
      return;
    }
    at_ = end + 1;
    if (!comma && peek() == '?') unsupported("{n}?");
    const std::string repeat = comma ? fmt::format("{{{},{}}}", low.empty() ? "0" : low, high) : "{" + low + "}";
    // Behind an interval Ruby's + and {} repeat the repetition; PCRE2 has a possessive + there, and no second {}.
    const bool repeated = peek() == '+' || peek() == '{';
    if (repeated) out_.insert(atom_, "(?:");
    out_ += repeat;
    if (repeated) out_ += ')';
  }

  void escape_outside() {
    const char c = peek();
    switch (c) {
      case 's':
        out_ += "[" + space_items() + "]";
        break;
      case 'S':
        out_ += "[^" + space_items() + "]";
        break;
      case 'd':
        return category("Nd", false, false, 1);
      case 'D':
        return category("Nd", true, false, 1);
      case 'h':
        out_ += "[0-9A-Fa-f]";
        break;
      case 'H':
        out_ += "[^0-9A-Fa-f]";
        break;
      case 'A':
      case 'z':
      case 'Z':
        out_ += std::string("\\") + c;
        break;
      case 'p':
      case 'P':
        return property(false);
      default:
        out_ += escaped_character();
        return;
    }
    ++at_;
  }

  void escape_inside() {
    const char c = peek();
    switch (c) {
      case 's':
        out_ += space_items();
        break;
      case 'S':
        out_ += not_space_items();
        break;
      case 'd':
        return category("Nd", false, true, 1);
      case 'h':
        out_ += "0-9A-Fa-f";
        break;
      case 'p':
      case 'P':
        return property(true);
      default:
        out_ += escaped_character();
        return;
    }
    ++at_;
  }

  // One character behind a backslash, at `at_`.
  std::string escaped_character() {
    const char c = peek();
    switch (c) {
      case 't':
        return ++at_, "\\x{9}";
      case 'n':
        return ++at_, "\\x{A}";
      case 'v':
        return ++at_, "\\x{B}";
      case 'f':
        return ++at_, "\\x{C}";
      case 'r':
        return ++at_, "\\x{D}";
      case 'a':
        return ++at_, "\\x{7}";
      case 'e':
        return ++at_, "\\x{1B}";
      case 'x':
        return ++at_, peek() == '{' ? braced_hex() : hex_digits(2, 0x7F);
      case 'u':
        return ++at_, hex_digits(4, 0xFFFF);
      default:
        break;
    }
    const bool plain = static_cast<uint8_t>(c) >= 0x80 || !more() || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                       (c >= 'A' && c <= 'Z');
    if (plain) unsupported(fmt::format("\\{}", more() && static_cast<uint8_t>(c) < 0x80 ? std::string(1, c) : ""));
    ++at_;
    return {'\\', c};
  }

  std::string code_point(std::string_view digits, char32_t max) {
    uint32_t value = 0;
    for (const char c : digits) {
      const auto digit = hex_value(c);
      if (!digit || value > 0xFFFFFF) unsupported("a bad hexadecimal escape");
      value = value * 16 + *digit;
    }
    if (digits.empty() || value > max || (value >= 0xD800 && value < 0xE000)) unsupported("a bad hexadecimal escape");
    std::string out;
    append_range(out, value, value);
    return out;
  }

  static std::optional<uint32_t> hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return std::nullopt;
  }

  std::string hex_digits(size_t count, char32_t max) {
    const std::string_view digits = in_.substr(at_, count);
    at_ += digits.size();
    return code_point(digits.size() == count ? digits : "", max);
  }

  std::string braced_hex() {
    const size_t close = in_.find('}', at_);
    if (close == std::string_view::npos) unsupported("\\x{ without }");
    const std::string_view digits = in_.substr(at_ + 1, close - at_ - 1);
    at_ = close + 1;
    return code_point(digits, 0x10FFFF);
  }

  // \p{Name}, \p{^Name}, \P{Name}; `at_` is at the letter p.
  void property(bool inside) {
    bool negated = peek() == 'P';
    const size_t close = in_.find('}', at_);
    if (peek(1) != '{' || close == std::string_view::npos) unsupported("\\p without {}");
    std::string_view name = in_.substr(at_ + 2, close - at_ - 2);
    if (name.starts_with('^')) {
      negated = !negated;
      name.remove_prefix(1);
    }
    category(name, negated, inside, close + 1 - at_);
  }

  void category(std::string_view name, bool negated, bool inside, size_t consumed) {
    if (std::find(kCategories.begin(), kCategories.end(), name) == kCategories.end()) {
      fail(ErrorCode::kUnsupported, "{}: \\p{{{}}} at byte {}; known are {}", where_, name, at_,
           fmt::join(kCategories, " "));
    }
    const std::string newer = newer_items(name);
    if (inside) {
      if (negated && !newer.empty()) unsupported("a negated category inside a class");
      out_ += fmt::format("\\{}{{{}}}{}", negated ? 'P' : 'p', name, newer);
    } else {
      out_ += fmt::format("[{}\\p{{{}}}{}]", negated ? "^" : "", name, newer);
    }
    at_ += consumed;
  }

  void char_class() {
    out_ += '[';
    ++at_;
    if (peek() == '^') {
      out_ += '^';
      ++at_;
    }
    if (peek() == ']') unsupported("an empty class");
    while (peek() != ']') {
      if (!more()) unsupported("a class that is not closed");
      if (peek() == '[') unsupported("a class inside a class");
      if (peek() == '&' && peek(1) == '&') unsupported("an intersection of classes");
      if (peek() == '\\') {
        ++at_;
        escape_inside();
      } else {
        out_ += in_[at_++];
      }
    }
    out_ += ']';
    ++at_;
  }

  std::string_view in_;
  std::string_view where_;
  size_t at_ = 0;
  std::string out_;
  size_t atom_ = 0;         // where the last atom begins in out_
  size_t group_start_ = 0;  // where the innermost group's current alternative begins in out_
  std::vector<size_t> groups_;
};

}  // namespace

std::string translate_regex(std::string_view pattern, std::string_view where) {
  return Translator(pattern, where).run();
}

std::string escape_regex(std::string_view literal) {
  std::string out;
  for (const char c : literal) {
    if (std::string_view("\\.+*?()|[]{}^$").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

}  // namespace glimmer

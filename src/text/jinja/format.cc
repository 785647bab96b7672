// The format specification of format() and str.format, and the % operator.
#include "text/jinja/format.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/utf8.h"
#include "text/jinja/budget.h"
#include "text/jinja/operators.h"

namespace glimmer::jinja {
namespace {

constexpr int64_t kMaxWidth = 1 << 20;
constexpr int64_t kMaxPrecision = 1000;

std::string pad(std::string text, int64_t width, char align, std::string_view fill) {
  const int64_t missing = width - static_cast<int64_t>(count_code_points(text));
  if (missing <= 0) return text;
  const int64_t left = align == '<' ? 0 : align == '^' ? missing / 2 : missing;
  std::string out;
  for (int64_t i = 0; i < left; ++i) out += fill;
  out += text;
  for (int64_t i = left; i < missing; ++i) out += fill;
  return out;
}

std::string to_base(uint64_t value, unsigned base, bool upper) {
  const std::string_view symbols = upper ? "0123456789ABCDEF" : "0123456789abcdef";
  std::string digits;
  do {
    digits += symbols[value % base];
    value /= base;
  } while (value > 0);
  std::reverse(digits.begin(), digits.end());
  return digits;
}

uint64_t magnitude(int64_t value) {
  return value < 0 ? uint64_t{0} - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
}

std::string truncate_code_points(std::string_view text, int64_t count) {
  size_t at = 0;
  while (count-- > 0 && at < text.size()) at += decode_utf8(text, at).size_bytes;
  return std::string(text.substr(0, at));
}

std::string special_double(double value, bool upper) {
  return std::isnan(value) ? (upper ? "NAN" : "nan") : (upper ? "INF" : "inf");
}

struct Spec {
  std::string fill = " ";
  char align = 0;
  char sign = '-';
  char grouping = 0;
  char type = 0;
  bool alternate = false;
  bool zero = false;
  int64_t width = 0;
  int64_t precision = -1;
};

[[noreturn]] void bad_spec(std::string_view spec, const Value& value) {
  fail(ErrorCode::kInvalid, "invalid format specifier '{}' for an object of type '{}'", spec, type_name(value));
}

int64_t parse_number(std::string_view text, size_t& at, int64_t limit) {
  int64_t number = 0;
  while (at < text.size() && text[at] >= '0' && text[at] <= '9') {
    number = number * 10 + (text[at++] - '0');
    if (number > limit) fail(ErrorCode::kLimit, "a width or precision above {}", limit);
  }
  return number;
}

bool is_one_of(char c, std::string_view set) { return c != 0 && set.find(c) != set.npos; }

Spec parse_spec(std::string_view text, const Value& value) {
  Spec spec;
  size_t at = 0;
  const auto peek = [&](size_t offset = 0) { return at + offset < text.size() ? text[at + offset] : '\0'; };
  if (!text.empty()) {
    const uint32_t bytes = decode_utf8(text, 0).size_bytes;
    if (is_one_of(peek(bytes), "<>^=")) {
      spec.fill = std::string(text.substr(0, bytes));
      spec.align = peek(bytes);
      at = bytes + 1;
    } else if (is_one_of(peek(), "<>^=")) {
      spec.align = text[at++];
    }
  }
  if (is_one_of(peek(), "+- ")) spec.sign = text[at++];
  if (peek() == '#') {
    spec.alternate = true;
    ++at;
  }
  if (peek() == '0') {
    spec.zero = true;
    ++at;
  }
  spec.width = parse_number(text, at, kMaxWidth);
  if (is_one_of(peek(), ",_")) spec.grouping = text[at++];
  if (peek() == '.') {
    ++at;
    if (peek() < '0' || peek() > '9') bad_spec(text, value);
    spec.precision = parse_number(text, at, kMaxPrecision);
  }
  if (at < text.size()) spec.type = text[at++];
  if (at != text.size()) bad_spec(text, value);
  return spec;
}

// Separators every `every` digits of the whole part of `digits`.
std::string group_digits(const std::string& digits, char separator, size_t every) {
  if (separator == 0) return digits;
  size_t whole = 0;
  while (whole < digits.size() && std::isxdigit(static_cast<unsigned char>(digits[whole]))) ++whole;
  std::string out;
  for (size_t i = 0; i < whole; ++i) {
    if (i > 0 && (whole - i) % every == 0) out += separator;
    out += digits[i];
  }
  return out + digits.substr(whole);
}

// Sign, prefix, digits and padding of a number; '=' puts the padding after the sign.
std::string finish_number(bool negative, const std::string& prefix, std::string digits, const Spec& spec,
                          size_t group) {
  const std::string sign = negative ? "-" : spec.sign == '-' ? "" : std::string(1, spec.sign);
  const bool zero_fill = spec.zero && spec.align == 0;
  if (zero_fill && spec.grouping != 0) {  // grouped zeros fill the width too
    const size_t head = sign.size() + prefix.size();
    while (head + group_digits("0" + digits, spec.grouping, group).size() <= static_cast<size_t>(spec.width)) {
      digits.insert(digits.begin(), '0');
    }
  }
  digits = group_digits(digits, spec.grouping, group);
  const char align = spec.align != 0 ? spec.align : spec.zero ? '=' : '>';
  const std::string fill = spec.zero && spec.align == 0 ? "0" : spec.fill;
  if (align != '=') return pad(sign + prefix + digits, spec.width, align, fill);
  const int64_t head = static_cast<int64_t>(sign.size() + prefix.size());
  return sign + prefix + pad(digits, spec.width - head, '>', fill);
}

std::string format_integer(int64_t value, const Spec& spec, std::string_view text, const Value& original) {
  if (spec.precision >= 0) fail(ErrorCode::kInvalid, "precision not allowed in integer format specifier");
  std::string prefix;
  std::string digits;
  switch (spec.type) {
    case 'b':
    case 'o':
    case 'x':
    case 'X': {
      const unsigned base = spec.type == 'b' ? 2 : spec.type == 'o' ? 8 : 16;
      if (spec.alternate) prefix = {'0', spec.type};
      digits = to_base(magnitude(value), base, spec.type == 'X');
      return finish_number(value < 0, prefix, digits, spec, 4);
    }
    case 'c': {
      if (value < 0 || value > 0x10FFFF) fail(ErrorCode::kInvalid, "%c arg not in range(0x110000)");
      std::string out;
      append_utf8(out, static_cast<char32_t>(value));
      return pad(out, spec.width, spec.align == 0 ? '<' : spec.align, spec.fill);
    }
    case 0:
    case 'd':
    case 'n':
      return finish_number(value < 0, "", to_base(magnitude(value), 10, false), spec, 3);
    default:
      bad_spec(text, original);
  }
}

std::string format_float(double value, const Spec& spec, std::string_view text, const Value& original) {
  const char type = spec.type == 0 ? 'r' : spec.type;
  const bool upper = type == 'F' || type == 'E' || type == 'G';
  const bool percent = type == '%';
  if (!is_one_of(type, "rfFeEgGn%")) bad_spec(text, original);
  const double shown = percent ? value * 100 : value;
  const int precision = spec.precision < 0 ? 6 : static_cast<int>(spec.precision);
  std::string digits;
  if (!std::isfinite(shown)) {
    digits = special_double(shown, upper);
  } else if (type == 'r' && spec.precision < 0) {
    digits = repr_of_double(std::abs(shown));
  } else if (type == 'r') {  // like 'g', but with a digit after the point
    digits = format_double(std::abs(shown), 'g', std::max(precision, 1));
    if (digits.find_first_of(".e") == digits.npos) {
      const bool room = static_cast<int>(digits.size()) < std::max(precision, 1);
      digits = room ? digits + ".0" : format_double(std::abs(shown), 'e', std::max(precision - 1, 0));
      if (!room) {  // 'g' kept an exponent form only from 10^precision on; this form starts one digit earlier
        const size_t e = digits.find('e');
        std::string mantissa = digits.substr(0, e);
        if (mantissa.find('.') != mantissa.npos) {
          while (mantissa.back() == '0') mantissa.pop_back();
          if (mantissa.back() == '.') mantissa.pop_back();
        }
        digits = mantissa + digits.substr(e);
      }
    }
  } else {
    const char conversion = percent ? 'f' : type == 'n' ? 'g' : type;
    digits = format_double(std::abs(shown), conversion, precision, spec.alternate);
  }
  if (percent) digits += '%';
  return finish_number(std::signbit(shown) && !std::isnan(shown), "", digits, spec, 3);
}

std::string format_string(std::string_view text, const Spec& spec, std::string_view spec_text, const Value& original) {
  const bool bad_type = spec.type != 0 && spec.type != 's';
  if (bad_type || spec.align == '=' || spec.grouping != 0 || spec.alternate || spec.sign != '-') {
    bad_spec(spec_text, original);
  }
  std::string shown = spec.precision >= 0 ? truncate_code_points(text, spec.precision) : std::string(text);
  const char align = spec.align != 0 ? spec.align : '<';
  return pad(std::move(shown), spec.width, align, spec.zero && spec.align == 0 ? "0" : spec.fill);
}

}  // namespace

std::string format_double(double value, char conversion, int precision, bool alternate) {
  const std::string format = std::string(alternate ? "%#.*" : "%.*") + conversion;
  const int size = std::snprintf(nullptr, 0, format.c_str(), precision, value);
  std::string out(static_cast<size_t>(size), '\0');
  std::snprintf(out.data(), out.size() + 1, format.c_str(), precision, value);
  return out;
}

std::string format_value(const Value& value, std::string_view text) {
  if (text.empty() || (text == "d" && value.is(Type::kExact) && value.as_exact().integer)) return to_str(value);
  if (value.is_undefined()) fail(ErrorCode::kInvalid, "unsupported format string passed to Undefined");
  const Spec spec = parse_spec(text, value);
  if (value.is_string()) return format_string(value.text(), spec, text, value);
  if (value.is_integral() && is_one_of(spec.type, "eEfFgG%")) return format_float(value.as_double(), spec, text, value);
  if (value.is(Type::kBool) && spec.type == 0) return format_string(to_str(value), spec, text, value);
  if (value.is_integral()) return format_integer(value.as_int(), spec, text, value);
  if (value.is(Type::kExact) && value.as_exact().integer && !is_one_of(spec.type, "eEfFgG%")) {
    fail(ErrorCode::kLimit, "the format {} of an integer that does not fit 64 bits", text);
  }
  if (value.is_number()) return format_float(value.as_double(), spec, text, value);
  fail(ErrorCode::kInvalid, "unsupported format string passed to {}.__format__", type_name(value));
}

namespace {

struct PercentSpec {
  bool left = false, plus = false, space = false, alternate = false, zero = false;
  int64_t width = 0;
  int64_t precision = -1;
  char type = 0;
};

std::string pad_percent(bool negative, const std::string& prefix, std::string digits, const PercentSpec& spec) {
  const std::string sign = negative ? "-" : spec.plus ? "+" : spec.space ? " " : "";
  const int64_t head = static_cast<int64_t>(sign.size() + prefix.size());
  if (spec.zero && !spec.left) return sign + prefix + pad(std::move(digits), spec.width - head, '>', "0");
  return pad(sign + prefix + digits, spec.width, spec.left ? '<' : '>', " ");
}

int64_t percent_integer(const Value& value, char type) {
  if (value.is_integral()) return value.as_int();
  if (value.is(Type::kExact) && value.as_exact().integer) {
    fail(ErrorCode::kLimit, "%{} of an integer that does not fit 64 bits: write %s", type);
  }
  if (value.is_number() && is_one_of(type, "diu")) {
    const double whole = std::trunc(value.as_double());
    if (!(std::abs(whole) < 9.2e18)) fail(ErrorCode::kLimit, "%{}: {} does not fit 64 bits", type, whole);
    return static_cast<int64_t>(whole);
  }
  if (value.is_undefined()) fail(ErrorCode::kInvalid, "{}", value.undefined_message());
  fail(ErrorCode::kInvalid, "%{} format: a number is required, not {}", type, type_name(value));
}

std::string percent_number(const Value& value, const PercentSpec& spec) {
  const char type = spec.type;
  if (is_one_of(type, "eEfFgG")) {
    if (!value.is_number()) fail(ErrorCode::kInvalid, "must be real number, not {}", type_name(value));
    const double number = value.as_double();
    const int precision = spec.precision < 0 ? 6 : static_cast<int>(spec.precision);
    const bool upper = is_one_of(type, "EFG");
    const std::string digits = std::isfinite(number) ? format_double(std::abs(number), type, precision, spec.alternate)
                                                     : special_double(number, upper);
    return pad_percent(std::signbit(number) && !std::isnan(number), "", digits, spec);
  }
  const int64_t number = percent_integer(value, type);
  const unsigned base = type == 'o' ? 8 : (type | 32) == 'x' ? 16 : 10;
  std::string digits = to_base(magnitude(number), base, type == 'X');
  const int64_t zeros = spec.precision - static_cast<int64_t>(digits.size());
  if (zeros > 0) digits.insert(0, static_cast<size_t>(zeros), '0');
  return pad_percent(number < 0, spec.alternate && base != 10 ? std::string{'0', type} : "", digits, spec);
}

std::string percent_char(const Value& value) {
  if (value.is_string() && length_of(value) == 1) return value.text();
  if (!value.is_integral()) fail(ErrorCode::kInvalid, "%c requires int or char");
  if (value.as_int() < 0 || value.as_int() > 0x10FFFF) fail(ErrorCode::kInvalid, "%c arg not in range(0x110000)");
  std::string out;
  append_utf8(out, static_cast<char32_t>(value.as_int()));
  return out;
}

// Walks over a % format and takes its arguments one by one, or by name.
class PercentFormatter {
 public:
  PercentFormatter(const Value& format, const Value& values)
      : format_(format.text()), values_(values), markup_(format.as_string().markup) {}

  std::string run() {
    while (at_ < format_.size()) {
      if (Budget* budget = Budget::current()) budget->check_string(out_.size());
      if (format_[at_] != '%') {
        out_ += format_[at_++];
        continue;
      }
      ++at_;
      write_conversion();
    }
    const bool unused = values_.is(Type::kTuple)
                            ? next_ < values_.items().size()
                            : next_ == 0 && !values_.is(Type::kDict) && !values_.is(Type::kList) && !is_mapping_like();
    if (unused) fail(ErrorCode::kInvalid, "not all arguments converted during string formatting");
    return std::move(out_);
  }

 private:
  // Python lets an object that can be subscripted stand for a mapping, and does not miss it when it is unused.
  bool is_mapping_like() const { return values_.is(Type::kRange) || (values_.is_undefined()); }

  const Value& next() {
    if (values_.is(Type::kTuple) ? next_ >= values_.items().size() : next_ > 0) {
      fail(ErrorCode::kInvalid, "not enough arguments for format string");
    }
    const size_t index = next_++;
    return values_.is(Type::kTuple) ? values_.items()[index] : values_;
  }

  char peek() const {
    if (at_ >= format_.size()) fail(ErrorCode::kInvalid, "incomplete format");
    return format_[at_];
  }

  Value named_value() {
    size_t depth = 1;
    const size_t begin = ++at_;
    while (depth > 0) {
      depth += peek() == '(' ? 1 : peek() == ')' ? size_t(-1) : 0;
      ++at_;
    }
    if (!values_.is(Type::kDict)) fail(ErrorCode::kInvalid, "format requires a mapping");
    const std::string key = format_.substr(begin, at_ - 1 - begin);
    const Value* found = values_.as_dict().find(std::string_view(key));
    if (found == nullptr) fail(ErrorCode::kInvalid, "KeyError: '{}'", key);
    next_ = 1;
    return *found;
  }

  int64_t number_or_star(int64_t limit) {
    if (peek() != '*') return parse_number(format_, at_, limit);
    ++at_;
    const Value& value = next();
    if (!value.is_integral()) fail(ErrorCode::kInvalid, "* wants int");
    if (value.as_int() > limit || value.as_int() < -limit)
      fail(ErrorCode::kLimit, "a width or precision above {}", limit);
    return value.as_int();
  }

  void write_conversion() {
    PercentSpec spec;
    Value named;
    if (peek() == '(') named = named_value();
    for (;; ++at_) {
      const char c = peek();
      if (c == '-') {
        spec.left = true;
      } else if (c == '+') {
        spec.plus = true;
      } else if (c == ' ') {
        spec.space = true;
      } else if (c == '#') {
        spec.alternate = true;
      } else if (c == '0') {
        spec.zero = true;
      } else {
        break;
      }
    }
    spec.width = number_or_star(kMaxWidth);
    if (spec.width < 0) {
      spec.left = true;
      spec.width = -spec.width;
    }
    if (peek() == '.') {
      ++at_;
      spec.precision = std::max<int64_t>(number_or_star(kMaxPrecision), 0);
    }
    while (is_one_of(peek(), "hlL")) ++at_;
    spec.type = format_[at_++];
    if (spec.type == '%') {
      out_ += '%';
      return;
    }
    write_value(spec, named.is_missing() ? next() : named);
  }

  void write_value(const PercentSpec& spec, const Value& value) {
    if (is_one_of(spec.type, "diuoxXeEfFgG")) {
      out_ += percent_number(value, spec);
      return;
    }
    std::string text;
    if (spec.type == 's') {
      text = markup_ ? escape_html(value) : to_str(value);
    } else if (spec.type == 'r' || spec.type == 'a') {
      text = to_repr(value);
    } else if (spec.type == 'c') {
      text = percent_char(value);
    } else {
      fail(ErrorCode::kInvalid, "unsupported format character '{}'", spec.type);
    }
    if (spec.precision >= 0 && spec.type != 'c') text = truncate_code_points(text, spec.precision);
    out_ += pad(std::move(text), spec.width, spec.left ? '<' : '>', " ");
  }

  const std::string& format_;
  const Value& values_;
  const bool markup_;
  std::string out_;
  size_t at_ = 0;
  size_t next_ = 0;
};

}  // namespace

Value percent_format(const Value& format, const Value& values) {
  return Value::string_like(format.as_string(), PercentFormatter(format, values).run());
}

}  // namespace glimmer::jinja

#include "text/jinja/number_text.h"

#include <charconv>
#include <cstdlib>
#include <string>

#include "base/error.h"
#include "text/jinja/unicode.h"

namespace glimmer::jinja {
namespace {

bool remove_underscores(std::string_view text, std::string& out) {
  const auto alnum = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; };
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      out += text[i];
    } else if (i == 0 || i + 1 == text.size() || !alnum(text[i - 1]) || !alnum(text[i + 1])) {
      return false;
    }
  }
  return true;
}

}  // namespace

bool parse_integer(std::string_view text, int base, int64_t& out) {
  text = strip(text, StripSide::kBoth);
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  const char mark = text.size() > 1 && text[0] == '0' ? static_cast<char>(text[1] | 32) : '\0';
  const int marked = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 0;
  if (marked != 0 && (base == marked || base == 0)) {
    base = marked;
    text.remove_prefix(2);
    if (text.starts_with('_')) text.remove_prefix(1);
  } else if (base == 0) {
    if (text.size() > 1 && text[0] == '0' && text.find_first_not_of("0_") != text.npos) return false;
    base = 10;
  }
  if (base < 2 || base > 36) return false;
  std::string digits;
  if (text.empty() || !remove_underscores(text, digits)) return false;
  uint64_t magnitude = 0;
  const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), magnitude, base);
  if (result.ptr != digits.data() + digits.size()) return false;
  const uint64_t limit = uint64_t{1} << 63;
  if (result.ec == std::errc::result_out_of_range || magnitude > limit || (magnitude == limit && !negative)) {
    fail(ErrorCode::kLimit, "the integer {} does not fit 64 bits", text);
  }
  if (result.ec != std::errc()) return false;
  out = negative ? static_cast<int64_t>(uint64_t{0} - magnitude) : static_cast<int64_t>(magnitude);
  return true;
}

bool parse_double(std::string_view text, double& out) {
  text = strip(text, StripSide::kBoth);
  std::string digits;
  if (!remove_underscores(text, digits)) return false;
  std::string_view body = digits;
  if (body.starts_with('-') || body.starts_with('+')) body.remove_prefix(1);
  const std::string name = lower(body);
  const bool named = name == "inf" || name == "nan" || name == "infinity";
  const bool numeric =
      !body.empty() && body.find_first_not_of("0123456789.eE+-") == body.npos && body[0] != '+' && body[0] != '-';
  if (!named && !numeric) return false;
  char* end = nullptr;
  out = std::strtod(digits.c_str(), &end);
  return end == digits.c_str() + digits.size();
}

}  // namespace glimmer::jinja

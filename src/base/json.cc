#include "base/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <deque>
#include <string>
#include <unordered_set>
#include <vector>

#include "base/error.h"
#include "base/json_fault.h"
#include "base/json_numbers.h"
#include "base/quoted_name.h"

namespace glimmer {
namespace {

// Numbers that keep their text are of the library's binary type, which no JSON text can make.
Json keep_text(std::string_view number) { return Json::binary({number.begin(), number.end()}); }

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// A double tells decimals of up to 17 digits apart.
constexpr size_t kDoubleDigits = 17;

bool double_holds(std::string_view number, double value) {
  std::string digits;
  for (const char c : number.substr(0, number.find_first_of("eE"))) {
    if (is_digit(c)) digits += c;
  }
  const size_t first = digits.find_first_not_of('0');
  if (first == std::string::npos) return true;
  return value != 0 && digits.find_last_not_of('0') - first < kDoubleDigits;
}

bool is_json_number(std::string_view text) {
  const auto skip_digits = [&] {
    const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
    text.remove_prefix(digits);
    return digits > 0;
  };
  if (text.starts_with('-')) text.remove_prefix(1);
  if (text.starts_with('0')) {
    text.remove_prefix(1);
  } else if (!skip_digits()) {
    return false;
  }
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    if (!skip_digits()) return false;
  }
  if (text.starts_with('e') || text.starts_with('E')) {
    text.remove_prefix(1);
    if (text.starts_with('+') || text.starts_with('-')) text.remove_prefix(1);
    if (!skip_digits()) return false;
  }
  return text.empty();
}

// A number beyond a double's range, and which of the document's numbers it is.
struct HugeNumber {
  size_t index = 0;
  size_t at = 0;  // in the document
  std::string text;
};

std::deque<HugeNumber> find_huge_numbers(std::string_view text) {
  constexpr size_t kLongNumber = 300;  // shorter ones are in range without an exponent
  std::deque<HugeNumber> out;
  size_t index = 0;
  for (size_t at = 0; at < text.size();) {
    if (text[at] == '"') {
      for (++at; at < text.size() && text[at] != '"';) at += text[at] == '\\' ? 2 : 1;
      ++at;
    } else if (is_digit(text[at]) || text[at] == '-') {
      const size_t end = std::min(text.find_first_not_of("0123456789+-.eE", at), text.size());
      const std::string_view number = text.substr(at, end - at);
      const bool may_be_huge = number.size() >= kLongNumber || number.find_first_of("eE") != std::string::npos;
      if (may_be_huge && is_json_number(number) && std::isinf(std::strtod(std::string(number).c_str(), nullptr))) {
        out.push_back({index, at, std::string(number)});
      }
      ++index;
      at = end;
    } else {
      ++at;
    }
  }
  return out;
}

enum class Numbers { kNearest, kExact };

// Builds the value while it bounds the depth and refuses duplicate keys (the library would keep the last in silence).
class Builder : public nlohmann::json_sax<Json> {
 public:
  Builder(std::string_view text, std::string_view source, Numbers numbers = Numbers::kNearest,
          std::deque<HugeNumber> huge = {})
      : text_(text), source_(source), numbers_(numbers), huge_(std::move(huge)) {}

  bool null() override { return put(nullptr); }
  bool boolean(bool value) override { return put(value); }
  bool number_integer(number_integer_t value) override { return put_number(value); }
  bool number_unsigned(number_unsigned_t value) override { return put_number(value); }
  bool number_float(number_float_t value, const string_t& text) override {
    if (numbers_ == Numbers::kNearest) return put(value);
    return put_number(is_integer_text(text) || !double_holds(text, value) ? keep_text(text) : Json(value));
  }
  bool string(string_t& value) override { return put(std::move(value)); }
  bool binary(binary_t&) override { return false; }

  bool start_object(size_t) override { return open(Json::object()); }
  bool start_array(size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(string_t& name) override {
    if (!stack_.back().keys.insert(name).second) {
      fail(ErrorCode::kInvalid, "{}: key {} appears twice in {}", source_, quoted_name(name), open_object());
    }
    stack_.back().key = std::move(name);
    return true;
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception& error) override {
    const size_t offset = std::min(position == 0 ? 0 : position - 1, text_.size());
    fail(ErrorCode::kInvalid, "{}: malformed JSON at {}: {}", source_, json_place(text_, offset),
         json_fault(text_, offset, error.what()));
  }

  Json take() { return std::move(root_); }

 private:
  struct Open {
    Json value;
    std::string key;                       // where the next member goes, if an object
    std::unordered_set<std::string> keys;  // members so far, if an object
  };

  bool put_number(Json value) {
    const size_t index = count_++;
    if (huge_.empty() || huge_.front().index != index) return put(std::move(value));
    value = keep_text(huge_.front().text);
    huge_.pop_front();
    return put(std::move(value));
  }

  bool open(Json container) {
    if (stack_.size() >= static_cast<size_t>(kMaxJsonDepth)) {
      fail(ErrorCode::kLimit, "{}: JSON nested deeper than {}", source_, kMaxJsonDepth);
    }
    stack_.push_back({std::move(container), {}, {}});
    return true;
  }

  bool close() {
    Json done = std::move(stack_.back().value);
    stack_.pop_back();
    return put(std::move(done));
  }

  bool put(Json value) {
    if (stack_.empty()) {
      root_ = std::move(value);
    } else if (stack_.back().value.is_array()) {
      stack_.back().value.push_back(std::move(value));
    } else {
      // emplace_back on the ordered map's vector base: the key is known to be new, so its linear search is not needed.
      auto& object = stack_.back().value.get_ref<Json::object_t&>();
      static_cast<std::vector<Json::object_t::value_type>&>(object).emplace_back(std::move(stack_.back().key),
                                                                                 std::move(value));
    }
    return true;
  }

  // The object that is being read, as messages spell it: "one object" for the outermost, else "messages[2].content".
  std::string open_object() const {
    std::string path;
    for (size_t i = 0; i + 1 < stack_.size(); ++i) {
      const Open& open = stack_[i];
      if (open.value.is_array()) {
        path += fmt::format("[{}]", open.value.size());
      } else {
        const std::string quoted = quoted_name(open.key);
        const bool plain = quoted.size() == open.key.size() + 2 && open.key.find_first_of(" .[]") == std::string::npos;
        path += fmt::format("{}{}", path.empty() ? "" : ".", plain ? open.key : quoted);
      }
    }
    return path.empty() ? "one object" : path;
  }

  std::string_view text_;
  std::string_view source_;
  Numbers numbers_;
  std::deque<HugeNumber> huge_;  // still to come
  size_t count_ = 0;             // of numbers so far
  Json root_;
  std::vector<Open> stack_;
};

Json parse(std::string_view text, std::string_view source, Builder& builder) {
  if (const size_t nul = text.find('\0'); nul != std::string_view::npos) {  // the library would stop there in silence
    fail(ErrorCode::kInvalid, "{}: malformed JSON at {}: {}", source, json_place(text, nul),
         json_fault(text, nul, "a NUL byte"));
  }
  Json::sax_parse(text, &builder);
  return builder.take();
}

bool holds_number_text(const Json& value) {
  if (!value.is_structured()) return keeps_number_text(value);
  return std::any_of(value.begin(), value.end(), holds_number_text);
}

// As the library writes it, but for numbers that keep their text.
void append_json(std::string& out, const Json& value) {
  if (!holds_number_text(value)) {
    out += dump_json(value);
  } else if (keeps_number_text(value)) {
    out += number_text(value);
  } else {
    char separator = value.is_object() ? '{' : '[';
    for (const auto& [name, member] : value.items()) {
      out += std::exchange(separator, ',');
      if (value.is_object()) out += dump_json(name) + ':';
      append_json(out, member);
    }
    out += value.is_object() ? '}' : ']';
  }
}

}  // namespace

Json parse_json(std::string_view text, std::string_view source) {
  Builder builder(text, source);
  return parse(text, source, builder);
}

Json parse_exact_json(std::string_view text, std::string_view source) {
  // The library refuses huge numbers. It is given zeros of the same length, and the builder puts the numbers back.
  std::deque<HugeNumber> huge = find_huge_numbers(text);
  std::string replaced;
  if (!huge.empty()) {
    replaced = text;
    for (const HugeNumber& number : huge) {
      replaced.replace(number.at, number.text.size(), "0." + std::string(number.text.size() - 2, '0'));
    }
    text = replaced;
  }
  Builder builder(text, source, Numbers::kExact, std::move(huge));
  return parse(text, source, builder);
}

bool keeps_number_text(const Json& value) { return value.is_binary(); }

std::string number_text(const Json& value) { return {value.get_binary().begin(), value.get_binary().end()}; }

bool is_integer_text(std::string_view number) { return number.find_first_of(".eE") == std::string_view::npos; }

double nearest_number(const Json& value) {
  return keeps_number_text(value) ? std::strtod(number_text(value).c_str(), nullptr) : value.get<double>();
}

std::string dump_json(const Json& value) {
  if (!holds_number_text(value)) return value.dump(-1, ' ', false, Json::error_handler_t::replace);
  std::string out;
  append_json(out, value);
  return out;
}

}  // namespace glimmer

// json.dumps.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/utf8.h"
#include "text/jinja/budget.h"
#include "text/jinja/format.h"

namespace glimmer::jinja {
namespace {

class JsonWriter {
 public:
  explicit JsonWriter(const JsonStyle& style) : style_(style) {}

  void write(const Value& value, int level) {
    if (Budget* budget = Budget::current()) {
      budget->step();
      budget->check_stack();
      budget->check_string(out_.size());
    }
    switch (value.type()) {
      case Type::kNone:
        out_ += "null";
        return;
      case Type::kBool:
        out_ += value.as_bool() ? "true" : "false";
        return;
      case Type::kInt:
        out_ += std::to_string(value.as_int());
        return;
      case Type::kFloat:
        write_double(value.as_double());
        return;
      case Type::kExact:
        charge_work(value.as_exact().text.size());
        out_ += value.as_exact().text;
        return;
      case Type::kString:
        write_string(value.text());
        return;
      case Type::kList:
      case Type::kTuple:
        return write_list(value.items(), level);
      case Type::kDict:
        return write_dict(value.as_dict(), level);
      default:
        fail(ErrorCode::kInvalid, "Object of type {} is not JSON serializable{}", type_name(value),
             value.is_undefined() ? ": " + value.undefined_message() : "");
    }
  }

  std::string take() { return std::move(out_); }

 private:
  void write_double(double value) {
    out_ += std::isnan(value)   ? "NaN"
            : std::isinf(value) ? (value < 0 ? "-Infinity" : "Infinity")
                                : repr_of_double(value);
  }

  void write_escape(char32_t c) { out_ += fmt::format("\\u{:04x}", static_cast<uint32_t>(c)); }

  void write_string(std::string_view text) {
    charge_work(text.size());
    out_ += '"';
    for (size_t at = 0; at < text.size();) {
      static constexpr std::string_view kSpecial = "\"\\\n\r\t\b\f";
      static constexpr std::string_view kEscapes = "\"\\nrtbf";
      const CodePoint point = decode_utf8(text, at);
      const char32_t c = point.value;
      if (const size_t special = c < 0x80 ? kSpecial.find(static_cast<char>(c)) : kSpecial.npos;
          special != kSpecial.npos) {
        out_ += '\\';
        out_ += kEscapes[special];
      } else if (c < 0x20) {
        write_escape(c);
      } else if (!style_.ensure_ascii || c < 0x7F) {
        out_.append(text.substr(at, point.size_bytes));
      } else if (c == 0x7F) {
        out_ += '\x7F';
      } else if (c < 0x10000) {
        write_escape(c);
      } else {
        write_escape(0xD800 + ((c - 0x10000) >> 10));
        write_escape(0xDC00 + ((c - 0x10000) & 0x3FF));
      }
      at += point.size_bytes;
    }
    out_ += '"';
  }

  void write_newline(int level) {
    out_ += '\n';
    for (int i = 0; i < level; ++i) out_ += style_.indent;
  }

  void write_list(const Values& items, int level) {
    if (items.empty()) {
      out_ += "[]";
      return;
    }
    out_ += '[';
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out_ += style_.item_separator;
      if (style_.indented) write_newline(level + 1);
      write(items[i], level + 1);
    }
    if (style_.indented) write_newline(level);
    out_ += ']';
  }

  void write_dict(const Dict& dict, int level) {
    if (dict.entries.empty()) {
      out_ += "{}";
      return;
    }
    auto entries = dict.entries;
    if (style_.sort_keys) {
      std::stable_sort(entries.begin(), entries.end(),
                       [](const auto& a, const auto& b) { return compare(a.first, b.first) == -1; });
    }
    out_ += '{';
    bool first = true;
    for (const auto& [key, value] : entries) {
      if (!first) out_ += style_.item_separator;
      first = false;
      if (style_.indented) write_newline(level + 1);
      write_key(key);
      out_ += style_.key_separator;
      write(value, level + 1);
    }
    if (style_.indented) write_newline(level);
    out_ += '}';
  }

  void write_key(const Value& key) {
    if (key.is_string()) return write_string(key.text());
    if (!key.is_number() && !key.is_none()) {
      fail(ErrorCode::kInvalid, "keys must be str, int, float, bool or None, not {}", type_name(key));
    }
    out_ += '"';
    write(key, 0);
    out_ += '"';
  }

  const JsonStyle& style_;
  std::string out_;
};

}  // namespace

std::string dump_json(const Value& value, const JsonStyle& style) {
  JsonWriter writer(style);
  writer.write(value, 0);
  return writer.take();
}

}  // namespace glimmer::jinja

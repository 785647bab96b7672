// Python's ways to format: "%s" % x, "{}".format(x), and JSON as json.dumps writes it.
#pragma once

#include <string>
#include <string_view>

#include "text/jinja/callable.h"
#include "text/jinja/value.h"

namespace glimmer::jinja {

// format % values, where `values` is a tuple, a dict for %(name)s, or one value.
Value percent_format(const Value& format, const Value& values);

// format.format(*args, **kwargs) with attribute and item lookups through the sandbox.
std::string brace_format(std::string_view format, const Args& args);

// format(value, spec): fill, align, sign, '#', '0', width, grouping, precision, type.
std::string format_value(const Value& value, std::string_view spec);

// "%.*f", "%.*e" or "%.*g" of a finite number, as C and Python write it.
std::string format_double(double value, char conversion, int precision, bool alternate = false);

struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  bool indented = false;
  std::string indent;  // of one level
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};

// json.dumps(value, ...). Throws kInvalid on what JSON cannot hold.
std::string dump_json(const Value& value, const JsonStyle& style);

}  // namespace glimmer::jinja

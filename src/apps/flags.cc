#include "apps/flags.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "base/error.h"

namespace glimmer::apps {
namespace {

template <typename T>
T parse_number(const std::string& text, const std::string& what, const char* kind) {
  T value{};
  const char* begin = text.data();
  const char* end = begin + text.size();
  if (begin != end && *begin == '+') ++begin;
  const auto [stop, error] = std::from_chars(begin, end, value);
  if (error == std::errc::result_out_of_range) fail(ErrorCode::kUsage, "{}: '{}' is out of range", what, text);
  if (error != std::errc{} || stop != end || begin == end) {
    fail(ErrorCode::kUsage, "{}: '{}' is not {}", what, text, kind);
  }
  return value;
}

uint64_t parse_unsigned(const std::string& text, const std::string& what) {
  return parse_number<uint64_t>(text, what, "a whole number of at least 0");
}

}  // namespace

int64_t parse_int(const std::string& text, const std::string& what) {
  return parse_number<int64_t>(text, what, "a whole number");
}

double parse_double(const std::string& text, const std::string& what) {
  const auto value = parse_number<double>(text, what, "a number");
  if (!std::isfinite(value)) fail(ErrorCode::kUsage, "{}: '{}' is not a finite number", what, text);
  return value;
}

struct Flags::Impl {
  CLI::App app;
  std::string command;
  std::string heading;

  // `take` receives each value as it was typed.
  template <typename Take>
  CLI::Option* add(const std::string& names, const char* metavar, const char* help, Take take) {
    CLI::Option* option = app.add_option(
        names,
        [take](const CLI::results_t& results) {
          for (size_t i = 0; i < results.size(); ++i) {
            if (i > 0 && results[i] == "%%" && results[i - 1] == "{}") continue;  // CLI11 puts it behind a "{}"
            take(results[i]);
          }
          return true;
        },
        help);
    option->type_name(metavar)->expected(1);
    if (!heading.empty()) option->group(heading);
    return option;
  }
};

Flags::Flags(const std::string& command, const std::string& summary) : impl_(std::make_unique<Impl>()) {
  impl_->command = command;
  impl_->app.description(summary);
  impl_->app.name("glimmer " + command);
  impl_->app.set_help_flag("-h,--help", "Print this help and exit");
}

Flags::~Flags() = default;

Flags& Flags::group(const std::string& heading) {
  impl_->heading = heading;
  return *this;
}

Flags& Flags::add(const std::string& names, std::string& target, const char* metavar, const char* help) {
  impl_->add(names, metavar, help, [&target](const std::string& text) { target = text; });
  return *this;
}

Flags& Flags::add(const std::string& names, std::optional<std::string>& target, const char* metavar, const char* help) {
  impl_->add(names, metavar, help, [&target](const std::string& text) { target = text; });
  return *this;
}

Flags& Flags::add(const std::string& names, std::vector<std::string>& target, const char* metavar, const char* help) {
  CLI::Option* option =
      impl_->add(names, metavar, help, [&target](const std::string& text) { target.push_back(text); });
  option->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  const bool positional = names.front() != '-';
  if (positional) option->expected(0, 1 << 20);
  option->allow_extra_args(positional);  // a flag must not swallow the positional argument behind its value
  return *this;
}

Flags& Flags::add(const std::string& names, int64_t& target, const char* metavar, const char* help) {
  impl_->add(names, metavar, help, [&target, names](const std::string& text) { target = parse_int(text, names); });
  return *this;
}

Flags& Flags::add(const std::string& names, std::optional<int64_t>& target, const char* metavar, const char* help) {
  impl_->add(names, metavar, help, [&target, names](const std::string& text) { target = parse_int(text, names); });
  return *this;
}

Flags& Flags::add(const std::string& names, std::optional<uint64_t>& target, const char* metavar, const char* help) {
  impl_->add(names, metavar, help, [&target, names](const std::string& text) { target = parse_unsigned(text, names); });
  return *this;
}

Flags& Flags::add(const std::string& names, std::optional<double>& target, const char* metavar, const char* help) {
  impl_->add(names, metavar, help, [&target, names](const std::string& text) { target = parse_double(text, names); });
  return *this;
}

Flags& Flags::add_switch(const std::string& names, bool& target, const char* help) {
  CLI::Option* option = impl_->app.add_flag(names, target, help);
  if (!impl_->heading.empty()) option->group(impl_->heading);
  return *this;
}

Flags& Flags::examples(const std::string& text) {
  impl_->app.footer("Examples:\n" + text);
  return *this;
}

bool Flags::parse(Arguments arguments) {
  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());  // as CLI11 takes a vector
  try {
    impl_->app.parse(std::move(reversed));
  } catch (const CLI::CallForHelp&) {
    fmt::print("{}", impl_->app.help());
    return false;
  } catch (const CLI::ParseError& error) {
    fail(ErrorCode::kUsage, "{} (see 'glimmer {} --help')", error.what(), impl_->command);
  }
  return true;
}

}  // namespace glimmer::apps

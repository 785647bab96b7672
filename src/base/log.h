// Log lines for people, on standard error. Results go to standard output and never pass through here.
#pragma once

#include <fmt/format.h>

#include <string_view>

namespace glimmer {

void log_warning_line(std::string_view message);

template <typename... Args>
void log_warning(fmt::format_string<Args...> format, Args&&... args) {
  log_warning_line(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace glimmer

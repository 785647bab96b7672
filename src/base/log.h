// Log lines for people, on standard error. Results go to standard output and never pass through here.
#pragma once

#include <fmt/format.h>

#include <string_view>

namespace glimmer {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

void set_log_level(LogLevel level);  // default kInfo
void log_line(LogLevel level, std::string_view message);

template <typename... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::kInfo, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void log_warning(fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::kWarning, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace glimmer

// Log lines for people, on standard error. Results go to standard output and never pass through here.
#pragma once

#include <fmt/format.h>

#include <string_view>

namespace glimmer {

void log_warning_line(std::string_view message);

// In place of a line for which there is no memory.
void log_lost_warning() noexcept;

// May be called where nothing must be thrown: handlers of exceptions, destructors, the tops of threads.
template <typename... Args>
void log_warning(fmt::format_string<Args...> format, Args&&... args) noexcept {
  try {
    log_warning_line(fmt::format(format, std::forward<Args>(args)...));
  } catch (...) {
    log_lost_warning();
  }
}

}  // namespace glimmer

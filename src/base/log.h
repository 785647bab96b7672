// What is said to people, on standard error. Results go to standard output and never pass through here.
#pragma once

#include <fmt/format.h>

#include <string_view>

#include "base/line_writer.h"

namespace glimmer {

// As it is. That standard error may be closed or full must not end the work.
void write_diagnostics(std::string_view text);

// Made a printable line of.
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

// While one lives, all of this goes through a writer, so that no thread waits for who reads it. One at a time; other
// threads that say something have ended before it does.
class DiagnosticsThrough {
 public:
  explicit DiagnosticsThrough(LineWriter& writer);
  ~DiagnosticsThrough();
  DiagnosticsThrough(const DiagnosticsThrough&) = delete;
  DiagnosticsThrough& operator=(const DiagnosticsThrough&) = delete;
};

}  // namespace glimmer

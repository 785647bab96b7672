// Messages to users on standard error. Results go to standard output and never pass through here.
#pragma once

#include <fmt/format.h>

#include <functional>
#include <string>
#include <string_view>

#include "base/line_writer.h"

namespace glimmer {

// Written as is. A closed or full standard error must not end the work.
void write_diagnostics(std::string_view text);

// Receives each warning, made a printable line, in place of standard error; calls do not overlap. Null: standard error.
using LogSink = std::function<void(const std::string& line)>;
void set_log_sink(LogSink sink);

// Made a printable line of.
void log_warning_line(std::string_view message);

// Written in place of a line for which there is no memory.
void log_lost_warning() noexcept;

// Never throw, so they may be used in exception handlers, destructors and thread functions.
template <typename... Args>
void log_warning(fmt::format_string<Args...> format, Args&&... args) noexcept {
  try {
    log_warning_line(fmt::format(format, std::forward<Args>(args)...));
  } catch (...) {
    log_lost_warning();
  }
}

// While one exists, all messages go through a LineWriter, so that a slow reader blocks no thread. One at a time; other
// threads that log must have ended before it does.
class DiagnosticsThrough {
 public:
  explicit DiagnosticsThrough(LineWriter& writer);
  ~DiagnosticsThrough();
  DiagnosticsThrough(const DiagnosticsThrough&) = delete;
  DiagnosticsThrough& operator=(const DiagnosticsThrough&) = delete;
};

}  // namespace glimmer

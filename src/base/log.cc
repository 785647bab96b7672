#include "base/log.h"

#include <poll.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <mutex>
#include <string>

#include "base/printable_text.h"

namespace glimmer {
namespace {

std::atomic<LineWriter*> line_writer{nullptr};

struct Sink {
  std::mutex mutex;
  LogSink function;
};
// Never destroyed: threads may log to the end.
Sink& sink() {
  static auto& only = *new Sink;
  return only;
}

}  // namespace

void write_diagnostics(std::string_view text) {
  if (LineWriter* writer = line_writer.load()) return writer->write(std::string(text));
  std::fwrite(text.data(), 1, text.size(), stderr);
}

void set_log_sink(LogSink function) {
  const std::lock_guard lock(sink().mutex);
  sink().function = std::move(function);
}

void log_warning_line(std::string_view message) {
  const std::string line = printable_line(message);
  {
    const std::lock_guard lock(sink().mutex);
    if (sink().function) return sink().function(line);
  }
  if (LineWriter* writer = line_writer.load()) return writer->write(fmt::format("glimmer: warning: {}\n", line));
  static const auto logger = [] {
    auto made = spdlog::stderr_color_mt("glimmer");
    made->set_pattern("glimmer: %^%l%$: %v");
    return made;
  }();
  logger->warn("{}", line);
}

// Past the writer, whose lines are made of memory; where nobody reads it is lost indeed.
void log_lost_warning() noexcept {
  constexpr std::string_view kLine = "glimmer: warning: (no memory to say what)\n";
  pollfd room = {.fd = STDERR_FILENO, .events = POLLOUT, .revents = 0};
  if (poll(&room, 1, 0) <= 0) return;
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, kLine.data(), kLine.size());
}

DiagnosticsThrough::DiagnosticsThrough(LineWriter& writer) { line_writer = &writer; }
DiagnosticsThrough::~DiagnosticsThrough() { line_writer = nullptr; }

}  // namespace glimmer

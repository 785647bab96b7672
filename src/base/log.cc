#include "base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

namespace glimmer {

void log_warning_line(std::string_view message) {
  static const auto logger = [] {
    auto made = spdlog::stderr_color_mt("glimmer");
    made->set_pattern("glimmer: %^%l%$: %v");
    return made;
  }();
  logger->warn("{}", message);
}

void log_lost_warning() noexcept {
  constexpr std::string_view kLine = "glimmer: warning: (no memory to say what)\n";
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, kLine.data(), kLine.size());
}

}  // namespace glimmer

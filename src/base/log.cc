#include "base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

namespace glimmer {

void log_warning_line(std::string_view message) {
  static const auto logger = [] {
    auto made = spdlog::stderr_color_mt("glimmer");
    made->set_pattern("glimmer: %^%l%$: %v");
    return made;
  }();
  logger->warn("{}", message);
}

}  // namespace glimmer

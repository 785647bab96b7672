// GLIMMER_CHECK(condition, format, args...): an internal invariant. If it is violated, the process prints the values
// and aborts.
#pragma once

#include <fmt/format.h>

#include <string>

namespace glimmer {

[[noreturn]] void check_failed(const char* file, int line, const char* condition, const std::string& message);

}  // namespace glimmer

#define GLIMMER_CHECK(condition, ...)                                                      \
  do {                                                                                     \
    if (!(condition)) [[unlikely]]                                                         \
      ::glimmer::check_failed(__FILE__, __LINE__, #condition, ::fmt::format(__VA_ARGS__)); \
  } while (false)

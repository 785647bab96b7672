#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace glimmer {

void check_failed(const char* file, int line, const char* condition, const std::string& message) {
  std::fprintf(stderr, "glimmer: internal error at %s:%d: %s does not hold: %s\n", file, line, condition,
               message.c_str());
  std::abort();
}

}  // namespace glimmer

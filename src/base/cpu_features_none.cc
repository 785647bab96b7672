#include <thread>

#include "base/cpu_features.h"

namespace glimmer {

std::vector<std::string_view> detect_cpu_features() { return {}; }
void pause_in_loop() { std::this_thread::yield(); }

}  // namespace glimmer

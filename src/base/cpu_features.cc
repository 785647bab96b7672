#include "base/cpu_features.h"

#include <fstream>

namespace glimmer {
namespace {

std::string read_model_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) {
      const size_t colon = line.find(": ");
      return colon == std::string::npos ? line : line.substr(colon + 2);
    }
  }
  return "unknown processor";
}

}  // namespace

const CpuFeatures& cpu_features() {
  static const CpuFeatures features{.model_name = read_model_name(), .names = detect_cpu_features()};
  return features;
}

}  // namespace glimmer

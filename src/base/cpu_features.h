// What this processor and operating system can do.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

namespace glimmer {

struct CpuFeatures {
  std::string model_name;  // as the kernel reports it
  // Of x86-64: "amd" (the maker), "avx2" (with FMA, F16C and BMI2: x86-64-v3), "avx_vnni", "avx512" (F, BW, CD, DQ, VL:
  // x86-64-v4), "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16".
  std::vector<std::string_view> names;

  bool has(std::string_view name) const { return std::find(names.begin(), names.end(), name) != names.end(); }
};

const CpuFeatures& cpu_features();

// In a loop that waits for another thread: leaves the core to its other hardware thread for a moment.
void pause_in_loop();

// cpu_features_<architecture>.cc: CpuFeatures::names.
std::vector<std::string_view> detect_cpu_features();

}  // namespace glimmer

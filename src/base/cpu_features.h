// What this processor and operating system can do.
#pragma once

#include <string>

namespace glimmer {

struct CpuFeatures {
  std::string model_name;  // as the kernel reports it
  bool amd = false;        // the maker
  bool avx2 = false;       // with FMA, F16C and BMI2: x86-64-v3
  bool avx_vnni = false;
  bool avx512 = false;  // F, BW, CD, DQ, VL: x86-64-v4
  bool avx512_vnni = false;
  bool avx512_bf16 = false;
  bool amx_int8 = false;
  bool amx_bf16 = false;
};

const CpuFeatures& cpu_features();

}  // namespace glimmer

#include <cpuid.h>
#include <immintrin.h>

#include "base/cpu_features.h"

namespace glimmer {
namespace {

struct Cpuid {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
};

// All zero where the processor has no such leaf.
Cpuid cpuid(unsigned leaf, unsigned part) {
  Cpuid id;
  if (__get_cpuid_count(leaf, part, &id.eax, &id.ebx, &id.ecx, &id.edx) == 0) return {};
  return id;
}

bool bit(unsigned value, int index) { return (value >> index & 1) != 0; }

}  // namespace

// The compiler's run-time also asks the operating system (XGETBV) whether it saves the wide registers.
std::vector<std::string_view> detect_cpu_features() {
  __builtin_cpu_init();
  const bool f16c = bit(cpuid(1, 0).ecx, 29);  // g++ 12 has no name for it
  const bool avx2 = __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0 &&
                    __builtin_cpu_supports("bmi2") != 0 && f16c;
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
                      __builtin_cpu_supports("avx512cd") != 0 && __builtin_cpu_supports("avx512dq") != 0 &&
                      __builtin_cpu_supports("avx512vl") != 0;
  std::vector<std::string_view> names;
  const auto add = [&](bool has, std::string_view name) {
    if (has) names.push_back(name);
  };
  add(__builtin_cpu_is("amd") != 0, "amd");
  add(avx2, "avx2");
  add(avx2 && bit(cpuid(7, 1).eax, 4), "avx_vnni");
  add(avx512, "avx512");
  add(avx512 && __builtin_cpu_supports("avx512vnni") != 0, "avx512_vnni");
  add(avx512 && __builtin_cpu_supports("avx512bf16") != 0, "avx512_bf16");
  add(bit(cpuid(7, 0).edx, 25), "amx_int8");
  add(bit(cpuid(7, 0).edx, 22), "amx_bf16");
  return names;
}

void pause_in_loop() { _mm_pause(); }

}  // namespace glimmer

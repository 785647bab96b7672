// x86-64: its tables, which of them this processor can run, and the loops that measure its ceilings.
#include <sys/syscall.h>
#include <unistd.h>

#include <array>

#include "base/cpu_features.h"
#include "kernels/cpu/x86/ceilings.h"
#include "kernels/cpu/x86/supported.h"
#include "kernels/cpu/x86/tables.h"
#include "kernels/tables.h"

namespace glimmer::kernels {
namespace {

constexpr std::array<const KernelTable*, 5> kTables = {&kAvx2Table, &kAvxVnniTable, &kAvx512Table, &kAvx512Bf16Table,
                                                       &kAmxTable};

}  // namespace

std::span<const KernelTable* const> arch_tables() { return kTables; }

bool cpu_has_avx2() { return cpu_features().has("avx2"); }
bool cpu_has_avx_vnni() { return cpu_features().has("avx_vnni"); }
bool cpu_has_avx512() { return cpu_features().has("avx512_vnni"); }
bool cpu_has_avx512_bf16() { return cpu_has_avx512() && cpu_features().has("avx512_bf16"); }

bool cpu_has_amx() {
  constexpr int kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM; threads that start afterwards have it too
  constexpr int kTileData = 18;
  const CpuFeatures& cpu = cpu_features();
  static const bool granted = cpu_has_avx512_bf16() && cpu.has("amx_bf16") && cpu.has("amx_int8") &&
                              syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  return granted;
}

WeightStreams cpu_weight_streams() {
  return cpu_features().has("amd") ? WeightStreams{.count = 1, .ahead_bytes = 8192}
                                   : WeightStreams{.count = 2, .ahead_bytes = 2048};
}

void choose_ceiling_loops(CeilingLoops& loops) {
  if (cpu_has_avx2()) {
    loops = {.read = avx2::read_ceiling,
             .floats = {"AVX2 FMA", avx2::kFloatOperations, avx2::float_ceiling},
             .integers = {"AVX2", avx2::kIntegerOperations, avx2::integer_ceiling}};
  }
  if (cpu_has_avx_vnni()) loops.integers = {"AVX-VNNI", avx2::kVnniOperations, avx2::vnni_ceiling};
  if (cpu_has_avx512()) {
    loops.read = avx512::read_ceiling;
    loops.floats = {"AVX-512 FMA", avx512::kFloatOperations, avx512::float_ceiling};
    if (cpu_features().has("avx512_vnni")) {
      loops.integers = {"AVX-512 VNNI", avx512::kIntegerOperations, avx512::integer_ceiling};
    }
  }
  if (cpu_has_avx512_bf16()) loops.floats = {"AVX-512 BF16", avx512::kBf16Operations, avx512::bf16_ceiling};
  if (cpu_has_amx()) {
    loops.floats = {"AMX", amx::kBf16Operations, amx::bf16_ceiling};
    loops.integers = {"AMX", amx::kIntegerOperations, amx::integer_ceiling};
  }
}

}  // namespace glimmer::kernels

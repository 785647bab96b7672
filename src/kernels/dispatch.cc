#include <array>
#include <string>

#if defined(__x86_64__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "base/cpu_features.h"
#include "base/error.h"
#include "base/name_table.h"
#include "kernels/cpu/supported.h"
#include "kernels/tables.h"

namespace glimmer::kernels {
namespace {

#if defined(__x86_64__)
constexpr std::array<const KernelTable*, 6> kTables = {&kRefTable,    &kAvx2Table,       &kAvxVnniTable,
                                                       &kAvx512Table, &kAvx512Bf16Table, &kAmxTable};
#else
constexpr std::array<const KernelTable*, 1> kTables = {&kRefTable};
#endif

}  // namespace

bool cpu_has_avx2() { return cpu_features().avx2; }
bool cpu_has_avx_vnni() { return cpu_features().avx_vnni; }
bool cpu_has_avx512() { return cpu_features().avx512_vnni; }
bool cpu_has_avx512_bf16() { return cpu_has_avx512() && cpu_features().avx512_bf16; }

bool cpu_has_amx() {
#if defined(__x86_64__)
  constexpr int kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM; threads that start afterwards have it too
  constexpr int kTileData = 18;
  const CpuFeatures& cpu = cpu_features();
  static const bool granted = cpu_has_avx512_bf16() && cpu.amx_bf16 && cpu.amx_int8 &&
                              syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  return granted;
#else
  return false;
#endif
}

WeightStreams cpu_weight_streams() {
  return cpu_features().amd ? WeightStreams{.count = 1, .ahead_bytes = 8192}
                            : WeightStreams{.count = 2, .ahead_bytes = 2048};
}

std::span<const KernelTable* const> all_tables() { return kTables; }

const KernelTable& best_table() {
  const KernelTable* best = &kRefTable;
  for (const KernelTable* table : kTables) {
    if (table->supported()) best = table;
  }
  return *best;
}

const KernelTable& table_by_name(std::string_view name) {
  const auto found = find_named(kTables, name, &KernelTable::name);
  if (found == nullptr) {
    fail(ErrorCode::kUsage, "unknown backend '{}'; known: {}", name, list_names(kTables, &KernelTable::name));
  }
  const KernelTable& table = **found;
  if (!table.supported()) {
    fail(ErrorCode::kUnsupported, "backend '{}' needs {}; this processor is {}", name, table.requires_cpu,
         cpu_features().model_name);
  }
  return table;
}

}  // namespace glimmer::kernels

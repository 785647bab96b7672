#include <array>
#include <string>

#include "base/cpu_features.h"
#include "base/error.h"
#include "kernels/cpu/supported.h"
#include "kernels/tables.h"

namespace glimmer::kernels {
namespace {

#if defined(__x86_64__)
constexpr std::array<const KernelTable*, 3> kTables = {&kRefTable, &kAvx2Table, &kAvx512Table};
#else
constexpr std::array<const KernelTable*, 1> kTables = {&kRefTable};
#endif

}  // namespace

bool cpu_has_avx2() { return cpu_features().avx2; }
bool cpu_has_avx512() { return cpu_features().avx512_vnni; }

std::span<const KernelTable* const> all_tables() { return kTables; }

const KernelTable& best_table() {
  const KernelTable* best = &kRefTable;
  for (const KernelTable* table : kTables) {
    if (table->supported()) best = table;
  }
  return *best;
}

const KernelTable& table_by_name(std::string_view name) {
  std::string known;
  for (const KernelTable* table : kTables) {
    if (table->name == name) {
      if (!table->supported()) {
        fail(ErrorCode::kUnsupported, "backend '{}' needs {}; this processor is {}", name, table->requires_cpu,
             cpu_features().model_name);
      }
      return *table;
    }
    known.append(known.empty() ? "" : ", ").append(table->name);
  }
  fail(ErrorCode::kUsage, "unknown backend '{}'; known: {}", name, known);
}

}  // namespace glimmer::kernels

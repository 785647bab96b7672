#include <string>
#include <vector>

#include "base/cpu_features.h"
#include "base/error.h"
#include "base/name_table.h"
#include "kernels/tables.h"

namespace glimmer::kernels {
namespace {

// The reference, then the architecture's, slowest first.
std::vector<const KernelTable*> tables_of_this_build() {
  std::vector<const KernelTable*> tables = {&kRefTable};
  tables.insert(tables.end(), arch_tables().begin(), arch_tables().end());
  return tables;
}

}  // namespace

std::span<const KernelTable* const> all_tables() {
  static const std::vector<const KernelTable*> tables = tables_of_this_build();
  return tables;
}

const KernelTable& best_table() {
  const KernelTable* best = &kRefTable;
  for (const KernelTable* table : all_tables()) {
    if (table->supported()) best = table;
  }
  return *best;
}

const KernelTable& table_by_name(std::string_view name) {
  const auto found = find_named(all_tables(), name, &KernelTable::name);
  if (found == nullptr) {
    fail(ErrorCode::kUsage, "unknown backend '{}'; known: {}", name, list_names(all_tables(), &KernelTable::name));
  }
  const KernelTable& table = **found;
  if (!table.supported()) {
    fail(ErrorCode::kUnsupported, "backend '{}' needs {}; this processor is {}", name, table.requires_cpu,
         cpu_features().model_name);
  }
  return table;
}

}  // namespace glimmer::kernels

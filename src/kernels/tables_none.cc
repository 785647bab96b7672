// An architecture without kernels of its own: the reference alone.
#include "kernels/tables.h"

namespace glimmer::kernels {

std::span<const KernelTable* const> arch_tables() { return {}; }
void choose_ceiling_loops(CeilingLoops& /*loops*/) {}

}  // namespace glimmer::kernels

// What each architecture brings, for dispatch.cc and ceilings.cc: one file tables_<architecture>.cc of a build is
// compiled (CMakeLists.txt, GLIMMER_ARCH).
#pragma once

#include <span>

#include "kernels/ceilings.h"
#include "kernels/kernel_table.h"

namespace glimmer::kernels {

extern const KernelTable kRefTable;

// The tables of this architecture, slowest first, without kRefTable.
std::span<const KernelTable* const> arch_tables();
// Replaces the plain loops by those of the fastest instructions that this processor has.
void choose_ceiling_loops(CeilingLoops& loops);

}  // namespace glimmer::kernels

// The tables of x86-64, for tables_x86.cc and the files that define them.
#pragma once

#include "kernels/kernel_table.h"

namespace glimmer::kernels {

extern const KernelTable kAvx2Table;
extern const KernelTable kAvxVnniTable;
extern const KernelTable kAvx512Table;
extern const KernelTable kAvx512Bf16Table;
extern const KernelTable kAmxTable;

}  // namespace glimmer::kernels

// What the avx_vnni table does by itself; the rest it shares with avx2.
#pragma once

#include "kernels/kernel_table.h"

namespace glimmer::kernels::avx_vnni {

// linear_int8_avx_vnni.cc
void linear_int8_groups(const Linear& args, int64_t panel_begin, int64_t panel_end);  // x of kInt8Groups

}  // namespace glimmer::kernels::avx_vnni

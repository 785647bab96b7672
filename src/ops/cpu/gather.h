// What CPU operations gather from other ranks between their own steps.
#pragma once

#include "base/range.h"
#include "comm/group.h"

namespace glimmer::cpu {

// Rows of f32 values, `stride` apart, of which each rank has the columns that `cut` says.
comm::GatherCall gather_call(const RowCut& cut, float* rows, int64_t count, int64_t stride);

}  // namespace glimmer::cpu

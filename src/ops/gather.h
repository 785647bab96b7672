// Makes rows whole of which each rank of the context's group has computed some columns.
#pragma once

#include <string_view>

#include "base/range.h"
#include "ops/context.h"

namespace glimmer {

// `cut` says which columns are whose; null, or a group of one: nothing to do.   x [tokens, cut->rows] f32, in place.
// CHECKs shapes. Throws Error kPeer when another rank fails.
struct GatherColumnsCall {
  const RowCut* cut = nullptr;
  TensorView x;
  comm::Exchange exchange;  // what is gathered
};
void gather_columns(Context& ctx, const GatherColumnsCall& call);

}  // namespace glimmer

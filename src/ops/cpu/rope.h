// Rotary embedding as used by other CPU operations.
#pragma once

#include "ops/cpu/device.h"
#include "ops/rope.h"

namespace glimmer::cpu {

// Heads to rotate in place, or into another buffer with its own strides.
struct RotateCall {
  RopeCall rope;
  float* out = nullptr;  // null: in place, rope.x
  int64_t out_token_stride = 0;
  int64_t out_head_stride = 0;
};
void rotate(Pass& ctx, const RotateCall& call);
// The same on the calling thread alone.
void rotate_here(const Pass& ctx, const RotateCall& call);

}  // namespace glimmer::cpu

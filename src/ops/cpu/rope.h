// Rotation as the processor's operations use it among each other.
#pragma once

#include "ops/cpu/device.h"
#include "ops/rope.h"

namespace glimmer::cpu {

// Rotated heads, and where they go: back to where they came from, or elsewhere with strides of its own.
struct RotateCall {
  RopeCall rope;
  float* out = nullptr;  // null: back to rope.x
  int64_t out_token_stride = 0;
  int64_t out_head_stride = 0;
};
void rotate(Pass& ctx, const RotateCall& call);
// The same on the calling thread alone.
void rotate_here(const Pass& ctx, const RotateCall& call);

}  // namespace glimmer::cpu

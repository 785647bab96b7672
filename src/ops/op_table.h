// A device's implementation of each operation. The operation's contract (ops/x.cc) has checked shapes before it calls
// one of these.
#pragma once

#include <cstdint>
#include <span>

#include "tensor/tensor.h"

namespace glimmer {

class Context;
struct AddCall;
struct AttentionCall;
struct EmbedCall;
struct FillRopeCall;
struct GatherColumnsCall;
struct GatherRowsCall;
struct LinearCall;
struct MlaCall;
struct MlpCall;
struct MoeCall;
struct RmsNormCall;
struct RopeCall;
struct RouteCall;
struct StoreKvCall;

struct OpTable {
  void (*embed)(Context& ctx, const EmbedCall& call);
  void (*gather_rows)(Context& ctx, const GatherRowsCall& call);
  void (*gather_columns)(Context& ctx, const GatherColumnsCall& call);
  void (*rms_norm)(Context& ctx, const RmsNormCall& call);
  void (*add)(Context& ctx, const AddCall& call);
  void (*linear)(Context& ctx, std::span<const LinearCall> calls);
  void (*fill_rope)(Context& ctx, const FillRopeCall& call);
  void (*rope)(Context& ctx, const RopeCall& call);
  void (*store_kv)(Context& ctx, const StoreKvCall& call);
  void (*attention)(Context& ctx, const AttentionCall& call);
  void (*mla)(Context& ctx, const MlaCall& call);
  void (*mlps)(Context& ctx, std::span<const MlpCall> calls, ConstTensorView x);
  void (*route)(Context& ctx, const RouteCall& call);
  void (*moe)(Context& ctx, const MoeCall& call);
};

}  // namespace glimmer

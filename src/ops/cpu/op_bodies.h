// The CPU's implementations of operations, for its OpTable.
#pragma once

#include "ops/op_table.h"

namespace glimmer::cpu {

void embed(Context& ctx, const EmbedCall& call);
void gather_rows(Context& ctx, const GatherRowsCall& call);
void gather_columns(Context& ctx, const GatherColumnsCall& call);
void rms_norm(Context& ctx, const RmsNormCall& call);
void add(Context& ctx, const AddCall& call);
void linear(Context& ctx, std::span<const LinearCall> calls);
void fill_rope(Context& ctx, const FillRopeCall& call);
void rope(Context& ctx, const RopeCall& call);
void store_kv(Context& ctx, const StoreKvCall& call);
void attention(Context& ctx, const AttentionCall& call);
void mla(Context& ctx, const MlaCall& call);
void mlps(Context& ctx, std::span<const MlpCall> calls, ConstTensorView x);
void route(Context& ctx, const RouteCall& call);
void moe(Context& ctx, const MoeCall& call);

}  // namespace glimmer::cpu

#include "ops/cpu/linear.h"

#include <algorithm>
#include <vector>

#include "ops/cpu/encode.h"
#include "ops/cpu/op_bodies.h"

namespace glimmer::cpu {
namespace {

using kernels::ActivationType;

// Tokens per task: few enough that their activations stay in L2 while panels stream past, and about as many in each
// task. Together with non-temporal stores of y this took prefill of 2,048 tokens from 2,215 to 2,324 tok/s (4 layers,
// docs/perf.md).
int64_t tokens_at_once(const EncodedLinearCall& call) {
  constexpr int64_t kMost = 512;
  constexpr int64_t kFewest = 128;  // every task expands the codes anew; fewer tokens would not repay it
  // Half of a Sapphire Rapids core's L2; the rest is for weights and outputs.
  constexpr int64_t kCacheBytes = int64_t{1} << 20;
  constexpr int64_t kMultiple = 64;  // whole units of the AMX kernel; o_proj with 192 tokens, not 128: 0.6 %
  const int64_t fitting = kCacheBytes / call.x.row_bytes / kMultiple * kMultiple;
  const int64_t most = std::clamp(fitting, kFewest, kMost);
  const int64_t ranges = (call.tokens + most - 1) / most;
  return std::clamp((call.tokens + ranges * kMultiple - 1) / (ranges * kMultiple) * kMultiple, kFewest, kMost);
}

// Panels per task: enough for kernels to stream several side by side, few enough to balance the load. A power of two,
// since kernels work on blocks of 2, 4 or 8.
int64_t panels_per_task(int64_t panels, int threads) {
  constexpr int64_t kMost = 8;
  // More balance the load better, fewer stream more panels side by side; not tuned finely.
  constexpr int64_t kTasksAThread = 6;
  int64_t at_once = kMost;
  while (at_once > 1 && panels < at_once * kTasksAThread * threads) at_once /= 2;
  return at_once;
}

// Index of the input of `call` in `inputs`, which gets a new entry if none matches. Calls that share an input are near
// each other.
size_t input_of(const LinearCall& call, ActivationType type, std::vector<EncodeCall>& inputs) {
  constexpr size_t kNear = 4;  // covers q, k, v and gate, up, and bounds the search for hundreds of experts
  const int64_t stride = call.x_row_values();
  const int64_t columns = call.weight->in_features();
  for (size_t i = inputs.size(); i > 0 && i + kNear > inputs.size(); --i) {
    const EncodeCall& input = inputs[i - 1];
    if (input.type == type && input.x == call.x && input.x_stride == stride && input.tokens == call.tokens &&
        input.columns == columns) {
      return i - 1;
    }
  }
  inputs.push_back({.type = type, .x = call.x, .x_stride = stride, .tokens = call.tokens, .columns = columns});
  return inputs.size() - 1;
}

// The calls with their inputs in the types that kernels take, each distinct input encoded once.
std::vector<EncodedLinearCall> encode_inputs(Pass& ctx, std::span<const LinearCall> calls) {
  std::vector<EncodedLinearCall> encoded;
  std::vector<EncodeCall> inputs;
  std::vector<size_t> input_of_call(calls.size());
  for (size_t i = 0; i < calls.size(); ++i) {
    const LinearCall& call = calls[i];
    const ActivationType type = ctx.activation_type(call.weight->weight.layout);
    encoded.push_back({.weight = call.weight,
                       .x = {.type = type,
                             .data = reinterpret_cast<const std::byte*>(call.x),
                             .row_bytes = call.x_row_values() * static_cast<int64_t>(sizeof(float))},
                       .y = call.y,
                       .tokens = call.tokens,
                       .y_stride = call.y_stride});
    if (type != ActivationType::kF32) input_of_call[i] = input_of(call, type, inputs);
  }
  if (inputs.empty()) return encoded;
  const auto bytes_of = [](const EncodeCall& input) { return encoded_bytes(input.type, input.columns, input.tokens); };
  int64_t total_bytes = 0;
  for (const EncodeCall& input : inputs) total_bytes += bytes_of(input);
  std::byte* memory = ctx.shared_scratch(total_bytes);
  for (EncodeCall& input : inputs) {
    input.out = memory;
    memory += bytes_of(input);
  }
  encode(ctx, inputs);
  for (size_t i = 0; i < calls.size(); ++i) {
    if (encoded[i].x.type == ActivationType::kF32) continue;
    const EncodeCall& input = inputs[input_of_call[i]];
    encoded[i].x.data = input.out;
    encoded[i].x.row_bytes = input.row_bytes();
  }
  return encoded;
}

// Panels of one call on one NUMA node, and the index of their first task.
struct Piece {
  const EncodedLinearCall* call = nullptr;
  PanelRange panels;
  int64_t first_task = 0;
};

// Panels [panel_begin, panel_end) for tokens [first, first + tokens).
void run_panels(Pass& ctx, const EncodedLinearCall& call, int64_t first, int64_t tokens, int64_t panel_begin,
                int64_t panel_end) {
  const LinearWeight& weight = *call.weight;
  const int64_t y_stride = call.y_stride != 0 ? call.y_stride : weight.out_features();
  const int64_t first_row = panel_begin * kPanelRows;
  ctx.kernels().linear({.x = {call.x.type, call.x.data + first * call.x.row_bytes, call.x.row_bytes},
                        .w = panels_of(weight, panel_begin, panel_end),
                        .bias = weight.bias == nullptr ? nullptr : weight.bias + first_row,
                        .y = call.y + first * y_stride + first_row,
                        .y_stride = y_stride,
                        .T = tokens},
                       0, panel_end - panel_begin);
}

}  // namespace

WeightMatrix panels_of(const LinearWeight& weight, int64_t panel_begin, int64_t panel_end) {
  const int64_t first_row = panel_begin * kPanelRows;
  const int64_t rows = std::min(panel_end * kPanelRows, weight.out_features()) - first_row;
  if (weight.nodes == nullptr) return slice(weight.weight, first_row, rows);
  const NodePanels& nodes = *weight.nodes;
  const auto after = std::upper_bound(nodes.first.begin(), nodes.first.end() - 1, panel_begin);
  const size_t node = static_cast<size_t>(after - nodes.first.begin()) - 1;
  GLIMMER_CHECK(panel_end <= nodes.first[node + 1], "panels {} to {} cross {}", panel_begin, panel_end,
                nodes.first[node + 1]);
  WeightMatrix panels = weight.weight;
  panels.rows = rows;
  panels.data = nodes.data[node] + (panel_begin - nodes.first[node]) * panels.panel_bytes;
  return panels;
}

int node_count(const LinearWeight& weight) {
  return weight.nodes == nullptr ? 1 : static_cast<int>(weight.nodes->data.size());
}

PanelRange panels_of_node(const LinearWeight& weight, int node) {
  if (weight.nodes == nullptr) return {0, panel_count(weight.weight)};
  const std::vector<int64_t>& first = weight.nodes->first;
  return {first[static_cast<size_t>(node)], first[static_cast<size_t>(node) + 1]};
}

void decode_rows(Pass& ctx, const WeightMatrix& weight, int64_t row_begin, int64_t row_end, float* out) {
  ctx.kernels().decode_rows(weight, row_begin, row_end, out, weight.columns);
}

void linear(Pass& ctx, std::span<const EncodedLinearCall> calls) {
  const auto token_ranges = [](const EncodedLinearCall& call) {
    const int64_t at_once = tokens_at_once(call);
    return (call.tokens + at_once - 1) / at_once;
  };
  int64_t panels = 0;  // counted once per token range
  for (const EncodedLinearCall& call : calls) panels += panel_count(call.weight->weight) * token_ranges(call);
  const int64_t at_once = panels_per_task(panels, ctx.pool().threads());
  // By node, then by call, so that a thread streams neighbouring panels.
  int nodes = 1;
  for (const EncodedLinearCall& call : calls) nodes = std::max(nodes, node_count(*call.weight));
  const auto ranges_of = [&](const Piece& piece) {
    return (piece.panels.end - piece.panels.begin + at_once - 1) / at_once;
  };
  std::vector<Piece> pieces;
  std::vector<int64_t> tasks_of_node(static_cast<size_t>(nodes));
  int64_t tasks = 0;
  for (int node = 0; node < nodes; ++node) {
    const int64_t tasks_before = tasks;
    for (const EncodedLinearCall& call : calls) {
      if (call.tokens == 0 || node >= node_count(*call.weight)) continue;
      const Piece piece{.call = &call, .panels = panels_of_node(*call.weight, node), .first_task = tasks};
      pieces.push_back(piece);
      tasks += ranges_of(piece) * token_ranges(call);
    }
    tasks_of_node[static_cast<size_t>(node)] = tasks - tasks_before;
  }
  ctx.pool().parallel_for(tasks_of_node, 1, [&](int64_t task, int64_t, int) {
    const auto after = std::upper_bound(pieces.begin(), pieces.end(), task,
                                        [](int64_t value, const Piece& piece) { return value < piece.first_task; });
    const Piece& piece = *(after - 1);
    const int64_t index = task - piece.first_task;
    const int64_t tokens = tokens_at_once(*piece.call);
    const int64_t first = index / ranges_of(piece) * tokens;
    const int64_t begin = piece.panels.begin + index % ranges_of(piece) * at_once;
    run_panels(ctx, *piece.call, first, std::min(tokens, piece.call->tokens - first), begin,
               std::min(begin + at_once, piece.panels.end));
  });
}

void linear(Pass& ctx, std::span<const LinearCall> calls) { linear(ctx, encode_inputs(ctx, calls)); }

void linear(Pass& ctx, std::span<const LinearCall> calls, const TakeOutput& take) {
  linear(ctx, encode_inputs(ctx, calls), take);
}

void linear(Pass& ctx, std::span<const EncodedLinearCall> calls, const TakeOutput& take) {
  constexpr int64_t kMostTokens = 256;   // their outputs (256 KB) stay in L2 until `take` has read them
  constexpr int64_t kFewestTokens = 32;  // one unit of the AMX kernel; fewer would leave tiles partly empty
  constexpr int64_t kTasksAThread = 4;   // balances the load; not tuned finely
  constexpr int64_t kPanels = kOutputColumns / kPanelRows;  // NUMA nodes hold panels in multiples of these
  const auto blocks_of = [](const EncodedLinearCall& call) {
    return (call.weight->out_features() + kOutputColumns - 1) / kOutputColumns;
  };
  int64_t tokens = kMostTokens;
  const auto tasks_of = [&](const EncodedLinearCall& call) {
    return blocks_of(call) * ((call.tokens + tokens - 1) / tokens);
  };
  const auto all_tasks = [&] {
    int64_t tasks = 0;
    for (const EncodedLinearCall& call : calls) tasks += tasks_of(call);
    return tasks;
  };
  while (tokens > kFewestTokens && all_tasks() < kTasksAThread * ctx.pool().threads()) tokens /= 2;
  ctx.reserve_scratch(tokens * kOutputColumns);
  ctx.pool().parallel_for(all_tasks(), 1, [&](int64_t task, int64_t, int worker) {
    size_t index = 0;
    for (; task >= tasks_of(calls[index]); ++index) task -= tasks_of(calls[index]);
    const EncodedLinearCall& call = calls[index];
    const LinearWeight& weight = *call.weight;
    const int64_t block = task % blocks_of(call);
    OutputBlock out{.call = index,
                    .first_token = task / blocks_of(call) * tokens,
                    .first_column = block * kOutputColumns,
                    .y = ctx.scratch(worker)};
    out.tokens = std::min(tokens, call.tokens - out.first_token);
    out.columns = std::min(kOutputColumns, weight.out_features() - out.first_column);
    const int64_t panels = (out.columns + kPanelRows - 1) / kPanelRows;
    ctx.kernels().linear({.x = {call.x.type, call.x.data + out.first_token * call.x.row_bytes, call.x.row_bytes},
                          .w = panels_of(weight, block * kPanels, block * kPanels + panels),
                          .bias = weight.bias == nullptr ? nullptr : weight.bias + out.first_column,
                          .y = out.y,
                          .y_stride = out.columns,
                          .T = out.tokens},
                         0, panels);
    take(out);
  });
}

void linear(Context& ctx, std::span<const LinearCall> calls) {
  Pass pass(ctx);
  linear(pass, calls);
}

}  // namespace glimmer::cpu

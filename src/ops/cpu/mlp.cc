#include "ops/mlp.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "ops/cpu/encode.h"
#include "ops/cpu/gather.h"
#include "ops/cpu/linear.h"
#include "ops/cpu/op_bodies.h"

namespace glimmer::cpu {
namespace {

using kernels::ActivationType;
using kernels::EncodedRows;
using kernels::kInt8Block;

constexpr int64_t kFloatBytes = sizeof(float);
constexpr comm::Exchange kIntermediate{"intermediate values"};
constexpr std::array kTypes = {ActivationType::kF32, ActivationType::kBF16, ActivationType::kInt8,
                               ActivationType::kInt8Groups};

// Tokens per task: gate and up values of kInt8Block columns (512 KB in f32) stay in the thread's L2 together.
constexpr int64_t kTokensAtOnce = 256;

// Smallest copy worth handing to a thread.
constexpr int64_t kCopyBytes = 1 << 16;

size_t index_of(ActivationType type) { return static_cast<size_t>(type); }

int64_t row_bytes_of(ActivationType type, int64_t columns) {
  return type == ActivationType::kF32 ? columns * kFloatBytes : kernels::activation_row_bytes(type, columns);
}

int64_t rows_bytes(ActivationType type, int64_t columns, int64_t rows) {
  if (type != ActivationType::kF32) return encoded_bytes(type, columns, rows);
  return (rows * columns * kFloatBytes + 63) / 64 * 64;
}

// A call, with its inputs and outputs placed.
struct Network {
  const MlpCall* call = nullptr;
  EncodedRows gate_in;
  EncodedRows up_in;
  ActivationType down_type = ActivationType::kF32;
  std::byte* acts = nullptr;  // silu(gate) * up of its rows, of down_type
  float* values = nullptr;    // the same in f32, if they are stored in f32 first or only
  int64_t width = 0;          // intermediate
  int64_t first = 0;          // its columns [first, first + own) are ours
  int64_t own = 0;

  int64_t act_row_bytes() const { return row_bytes_of(down_type, width); }
};

class FusedMlps {
 public:
  FusedMlps(Pass& ctx, std::span<const MlpCall> calls, ConstTensorView x)
      : ctx_(ctx),
        x_(x.as<float>()),
        rows_(x.shape[0]),
        hidden_size_(x.shape[1]),
        scratch_(ctx.device().mlp_workspace()) {
    for (const MlpCall& call : calls) {
      if (call.count == 0) continue;
      Network& network = networks_.emplace_back();
      network.call = &call;
      network.width = call.weights->gate_proj.whole_rows();
      network.first = call.weights->gate_proj.first_row();
      network.own = call.weights->gate_proj.out_features();
      network.gate_in.type = ctx.activation_type(call.weights->gate_proj.weight.layout);
      network.up_in.type = ctx.activation_type(call.weights->up_proj.weight.layout);
      network.down_type = ctx.activation_type(call.weights->down_proj.weight.layout);
    }
  }

  void run() {
    if (networks_.empty()) return;
    encode_x();
    gather();
    choose_task_columns();
    place_acts();
    gate_and_up();
    down();
  }

 private:
  // x in each type that some network reads.
  void encode_x() {
    std::array<bool, kTypes.size()> wanted{};
    for (const Network& network : networks_) {
      wanted[index_of(network.gate_in.type)] = true;
      wanted[index_of(network.up_in.type)] = true;
    }
    encoded_[index_of(ActivationType::kF32)] = reinterpret_cast<const std::byte*>(x_);
    std::vector<EncodeCall> calls;
    int64_t size_bytes = 0;
    // A network may begin at any row, and read as many as kernels take at once.
    const auto bytes_of = [&](ActivationType type) {
      return encoded_bytes(type, hidden_size_, rows_ + kernels::kRowsReadAtOnce - 1);
    };
    for (const ActivationType type : kTypes) {
      if (!wanted[index_of(type)] || type == ActivationType::kF32) continue;
      calls.push_back({.type = type, .x = x_, .x_stride = hidden_size_, .tokens = rows_, .columns = hidden_size_});
      size_bytes += bytes_of(type);
    }
    std::byte* memory = at_least(scratch_.encoded, size_bytes);
    for (EncodeCall& call : calls) {
      call.out = memory;
      encoded_[index_of(call.type)] = memory;
      memory += bytes_of(call.type);
    }
    encode(ctx_, calls);
  }

  // The inputs of a network must be contiguous: rows of x in place if they are, else copies.
  void gather() {
    struct Copy {
      const std::byte* from;
      std::byte* to;
      int64_t bytes;
    };
    std::vector<Copy> copies;
    int64_t size_bytes = 0;
    for (const ActivationType type : kTypes) {
      for (const Network& network : networks_) {
        if (is_gathered(network, type)) size_bytes += rows_bytes(type, hidden_size_, network.call->count);
      }
    }
    std::byte* memory = at_least(scratch_.gathered, size_bytes);
    for (const ActivationType type : kTypes) {
      const int64_t row_bytes = row_bytes_of(type, hidden_size_);
      const std::byte* rows = encoded_[index_of(type)];
      for (Network& network : networks_) {
        if (!reads(network, type)) continue;
        const MlpCall& call = *network.call;
        const std::byte* input = call.tokens == nullptr ? rows : rows + call.tokens[0] * row_bytes;
        if (is_gathered(network, type)) {
          input = memory;
          for (int64_t i = 0; i < call.count; ++i) {
            copies.push_back({rows + call.tokens[i] * row_bytes, memory + i * row_bytes, row_bytes});
          }
          memory += rows_bytes(type, hidden_size_, call.count);
        }
        if (network.gate_in.type == type) network.gate_in = {type, input, row_bytes};
        if (network.up_in.type == type) network.up_in = {type, input, row_bytes};
      }
    }
    if (copies.empty()) return;
    const int64_t grain = std::max<int64_t>(1, kCopyBytes / copies.front().bytes);
    ctx_.pool().parallel_for(static_cast<int64_t>(copies.size()), grain, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i) {
        const Copy& copy = copies[static_cast<size_t>(i)];
        std::memcpy(copy.to, copy.from, static_cast<size_t>(copy.bytes));
      }
    });
  }

  static bool reads(const Network& network, ActivationType type) {
    return network.gate_in.type == type || network.up_in.type == type;
  }
  static bool is_gathered(const Network& network, ActivationType type) {
    return reads(network, type) && network.call->tokens != nullptr && network.call->count > 1;
  }

  // Whole blocks of activations are encoded by the thread that computes them. With few tokens that leaves too few tasks
  // for many threads: tasks are then parts of blocks, and their outputs are encoded in a pass of their own.
  void choose_task_columns() {
    constexpr int64_t kFewTokens = 8;  // a trade: idle threads against one more pass over the activations
    constexpr int64_t kFewestColumns = 2 * kPanelRows;  // kernels work on pairs of panels
    constexpr int64_t kTasksAThread = 6;                // as in linear.cc
    int64_t tokens = 0;
    int64_t columns = 0;
    for (const Network& network : networks_) {
      tokens = std::max(tokens, network.call->count);
      columns += network.own;
    }
    if (tokens > kFewTokens) return;
    while (task_columns_ > kFewestColumns && columns < task_columns_ * kTasksAThread * ctx_.pool().threads()) {
      task_columns_ /= 2;
    }
  }

  bool encodes_afterwards(const Network& network) const {
    if (network.down_type == ActivationType::kF32) return false;
    return task_columns_ < kInt8Block || network.call->weights->gate_proj.cut != nullptr;
  }

  void place_acts() {
    int64_t act_bytes = 0;
    int64_t value_bytes = 0;
    for (const Network& network : networks_) {
      act_bytes += rows_bytes(network.down_type, network.width, network.call->count);
      if (encodes_afterwards(network)) value_bytes += network.call->count * network.width * kFloatBytes;
    }
    std::byte* acts = at_least(scratch_.acts, act_bytes);
    auto* values = reinterpret_cast<float*>(at_least(scratch_.gate, value_bytes));
    for (Network& network : networks_) {
      network.acts = acts;
      acts += rows_bytes(network.down_type, network.width, network.call->count);
      if (network.down_type == ActivationType::kF32) network.values = reinterpret_cast<float*>(network.acts);
      if (!encodes_afterwards(network)) continue;
      network.values = values;
      values += network.call->count * network.width;
    }
  }

  // Columns of a network's acts whose weights are on one NUMA node, and the index of their first task.
  struct Piece {
    const Network* network;
    int64_t begin;
    int64_t end;
    int64_t first_task;
  };

  void gate_and_up() {
    std::vector<Piece> pieces;
    std::vector<int64_t> tasks_of_node;
    int64_t tasks = 0;
    for (int node = 0; node < node_count(networks_.front().call->weights->gate_proj); ++node) {
      const int64_t tasks_before = tasks;
      for (const Network& network : networks_) {
        const PanelRange panels = panels_of_node(network.call->weights->gate_proj, node);
        const int64_t begin = panels.begin * kPanelRows;
        const int64_t end = std::min(panels.end * kPanelRows, network.own);
        pieces.push_back({&network, begin, end, tasks});
        tasks += (end - begin + task_columns_ - 1) / task_columns_;
      }
      tasks_of_node.push_back(tasks - tasks_before);
    }
    ctx_.reserve_scratch(2 * kTokensAtOnce * kInt8Block);
    ctx_.pool().parallel_for(tasks_of_node, 1, [&](int64_t task, int64_t, int worker) {
      const auto after = std::upper_bound(pieces.begin(), pieces.end(), task,
                                          [](int64_t value, const Piece& piece) { return value < piece.first_task; });
      const Piece& piece = *(after - 1);
      const int64_t begin = piece.begin + (task - piece.first_task) * task_columns_;
      const int64_t columns = std::min(task_columns_, piece.end - begin);
      const int64_t count = piece.network->call->count;
      for (int64_t t = 0; t < count; t += kTokensAtOnce) {
        fill_acts(*piece.network, begin, columns, t, std::min(kTokensAtOnce, count - t), ctx_.scratch(worker));
      }
    });
    gather_acts();
    std::vector<EncodeCall> calls;
    for (const Network& network : networks_) {
      if (!encodes_afterwards(network)) continue;
      calls.push_back({.type = network.down_type,
                       .x = network.values,
                       .x_stride = network.width,
                       .tokens = network.call->count,
                       .columns = network.width,
                       .out = network.acts});
    }
    encode(ctx_, calls);
  }

  // The columns of other ranks.
  void gather_acts() {
    std::vector<comm::GatherCall> calls;
    for (const Network& network : networks_) {
      const RowCut* cut = network.call->weights->gate_proj.cut;
      if (cut != nullptr) calls.push_back(gather_call(*cut, network.values, network.call->count, network.width));
    }
    if (!calls.empty()) ctx_.context().group().gather(kIntermediate, calls);
  }

  // Of our columns, [first_column, + columns) of the acts of `tokens` rows from `first` on.
  void fill_acts(const Network& network, int64_t first_column, int64_t columns, int64_t first, int64_t tokens,
                 float* memory) {
    const int64_t first_panel = first_column / kPanelRows;
    const int64_t panels = (columns + kPanelRows - 1) / kPanelRows;
    float* gate = memory;
    float* up = memory + tokens * columns;
    const auto multiply = [&](const LinearWeight& weight, const EncodedRows& x, float* y) {
      ctx_.kernels().linear({.x = {x.type, x.data + first * x.row_bytes, x.row_bytes},
                             .w = panels_of(weight, first_panel, first_panel + panels),
                             .bias = weight.bias == nullptr ? nullptr : weight.bias + first_column,
                             .y = y,
                             .y_stride = columns,
                             .T = tokens},
                            0, panels);
    };
    multiply(network.call->weights->gate_proj, network.gate_in, gate);
    multiply(network.call->weights->up_proj, network.up_in, up);
    for (int64_t t = 0; t < tokens; ++t) {
      const int64_t row = first + t;
      if (network.values != nullptr) {
        ctx_.kernels().silu_mul(gate + t * columns, up + t * columns, columns,
                                network.values + row * network.width + network.first + first_column);
        continue;
      }
      alignas(64) float act[kInt8Block];
      ctx_.kernels().silu_mul(gate + t * columns, up + t * columns, columns, act);
      // The encoder addresses columns from the start of the row; these are a part of it, so x is set back accordingly.
      ctx_.kernels().encode_activations(network.down_type, act - first_column, columns, 1, network.width, first_column,
                                        first_column + columns, network.acts + row * network.act_row_bytes(),
                                        network.act_row_bytes());
    }
  }

  void down() {
    std::vector<EncodedLinearCall> calls;
    for (const Network& network : networks_) {
      calls.push_back({.weight = &network.call->weights->down_proj,
                       .x = {network.down_type, network.acts, network.act_row_bytes()},
                       .y = network.call->out,
                       .tokens = network.call->count,
                       .y_stride = network.call->out_stride});
    }
    linear(ctx_, calls);
  }

  Pass& ctx_;
  const float* x_;
  int64_t rows_;
  int64_t hidden_size_;
  MlpWorkspace& scratch_;
  std::vector<Network> networks_;
  int64_t task_columns_ = kInt8Block;
  std::array<const std::byte*, kTypes.size()> encoded_{};
};

// gate[i] = silu(gate[i]) * up[i], i < count
void silu_mul(Pass& ctx, float* gate, const float* up, int64_t count) {
  constexpr int64_t kGrainValues = 16384;  // below that, handing out work costs more than it saves
  ctx.pool().parallel_for(count, kGrainValues, [&](int64_t begin, int64_t end, int) {
    ctx.kernels().silu_mul(gate + begin, up + begin, end - begin, gate + begin);
  });
}

bool wants_inputs(const Context& ctx, std::span<const MlpCall> calls) {
  return std::any_of(calls.begin(), calls.end(), [&](const MlpCall& call) {
    const MlpWeights& w = *call.weights;
    return ctx.wants_input(w.gate_proj.name) || ctx.wants_input(w.up_proj.name) || ctx.wants_input(w.down_proj.name);
  });
}

// The same step by step on whole matrices, in f32 between matmuls: in exact precision, and where a probe wants inputs.
void plain_mlps(Pass& ctx, std::span<const MlpCall> calls, ConstTensorView x) {
  MlpWorkspace& scratch = ctx.device().mlp_workspace();
  const int64_t hidden_size = x.shape[1];
  int64_t gathered_rows = 0;
  int64_t values = 0;
  for (const MlpCall& call : calls) {
    if (call.tokens != nullptr) gathered_rows += call.count;
    values += call.count * call.weights->gate_proj.whole_rows();
  }
  auto* gathered = reinterpret_cast<float*>(at_least(scratch.gathered, gathered_rows * hidden_size * kFloatBytes));
  auto* gate = reinterpret_cast<float*>(at_least(scratch.gate, values * kFloatBytes));
  auto* up = reinterpret_cast<float*>(at_least(scratch.up, values * kFloatBytes));

  std::vector<LinearCall> widening;
  std::vector<LinearCall> narrowing;
  std::vector<comm::GatherCall> gathers;
  int64_t at = 0;
  for (const MlpCall& call : calls) {
    if (call.count == 0) continue;
    const float* in = x.as<float>();
    if (call.tokens != nullptr) {
      for (int64_t i = 0; i < call.count; ++i) {
        std::memcpy(gathered + i * hidden_size, in + call.tokens[i] * hidden_size,
                    static_cast<size_t>(hidden_size * kFloatBytes));
      }
      in = gathered;
      gathered += call.count * hidden_size;
    }
    const int64_t width = call.weights->gate_proj.whole_rows();
    const int64_t first = at + call.weights->gate_proj.first_row();
    const auto widen = [&](const LinearWeight& weight, float* y) {
      widening.push_back({.weight = &weight, .x = in, .y = y, .tokens = call.count, .y_stride = width});
    };
    widen(call.weights->gate_proj, gate + first);
    widen(call.weights->up_proj, up + first);
    narrowing.push_back({.weight = &call.weights->down_proj,
                         .x = gate + at,
                         .y = call.out,
                         .tokens = call.count,
                         .y_stride = call.out_stride});
    const RowCut* cut = call.weights->gate_proj.cut;
    if (cut != nullptr) gathers.push_back(gather_call(*cut, gate + at, call.count, width));
    at += call.count * width;
  }
  record_inputs(ctx.context(), widening);
  linear(ctx, widening);
  silu_mul(ctx, gate, up, values);  // other ranks' columns too, which are replaced
  if (!gathers.empty()) ctx.context().group().gather(kIntermediate, gathers);
  record_inputs(ctx.context(), narrowing);
  linear(ctx, narrowing);
}

}  // namespace

void mlps(Context& context, std::span<const MlpCall> calls, ConstTensorView x) {
  Pass ctx(context);
  if (ctx.exact() || wants_inputs(context, calls)) {
    plain_mlps(ctx, calls, x);
  } else {
    FusedMlps(ctx, calls, x).run();
  }
}

}  // namespace glimmer::cpu

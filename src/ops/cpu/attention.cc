#include "ops/cpu/attention.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "ops/cpu/op_bodies.h"
#include "tensor/dtype.h"

namespace glimmer::cpu {
namespace {

using kernels::AttentionState;
using kernels::kAttentionBlock;
using kernels::kAttentionSpan;

// Query rows, (token, head) pairs, per task: enough to amortise loading a block's keys and packing its values, few
// enough that queries and partial outputs stay in L2. 256 rows instead of 160 made prefill of 2,048 tokens 1 % faster
// (docs/perf.md).
constexpr int64_t kMostRows = 256;
constexpr int64_t kLeastRows = 32;      // two query tiles, which kernels take together
constexpr int64_t kTasksPerThread = 3;  // load balance: causal tasks differ in their number of keys
constexpr int64_t kSpanBlocks = kAttentionSpan / kAttentionBlock;
constexpr int64_t kNearSpanBlocks = 8;  // blocks per thread from which rounding to whole spans unbalances little
// Beyond this, partial states take more memory than split-KV is worth.
constexpr int64_t kMostStateBytes = int64_t{128} << 20;
constexpr int64_t kStatePadding = 32;  // AttentionState

int64_t divided_up(int64_t count, int64_t by) { return (count + by - 1) / by; }
int64_t rounded_up(int64_t count, int64_t multiple) { return divided_up(count, multiple) * multiple; }

// Row `row` of the values that begin at `values`, whose scales, if they have any, begin at `scales`.
void store_row(const float* x, int64_t count, KvType type, int64_t row, std::byte* values, std::byte* scales) {
  if (type == KvType::kF32) {
    std::memcpy(values + row * count * 4, x, static_cast<size_t>(count) * sizeof(float));
  } else if (type == KvType::kBF16) {
    auto* halves = reinterpret_cast<uint16_t*>(values) + row * count;
    for (int64_t i = 0; i < count; ++i) halves[i] = f32_to_bf16(x[i]);
  } else {
    kernels::encode_kv_row(type, x, count, values + row * count,
                           reinterpret_cast<float*>(scales) + row * kernels::kv_groups(count));
  }
}

// A work item: some tokens of a sequence, with the query heads that share one key head.
struct Rows {
  const BatchSequence* sequence = nullptr;
  int64_t kv_head = 0;
  int64_t first_token = 0;  // among the sequence's new tokens
  int64_t tokens = 0;
  int64_t first_part = 0;  // index into parts_, with split-KV
  int64_t last_part = 0;   // one past the end

  int64_t keys() const { return sequence->past_tokens + first_token + tokens; }  // visible to the last of them
  int64_t key_blocks() const { return divided_up(keys(), kAttentionBlock); }
};

// Split-KV: a range of key blocks with a partial softmax state of its own; all states are folded in order at the end.
// Whole spans from the first on, one other span or its beginning, or one other block.
struct Part {
  int64_t first_block = 0;
  int64_t last_block = 0;  // one past the end
};

// One task: a work item over consecutive parts of its keys.
struct Run {
  int64_t rows = 0;  // index
  int64_t first_part = 0;
  int64_t last_part = 0;  // one past the end
};

// An odd number of cache lines, so that the rows of a tile do not compete for cache sets.
int64_t out_stride(int64_t v_dim) { return rounded_up(v_dim, 32) + 16; }

int64_t state_floats(int64_t rows, int64_t v_dim) {
  return 2 * rounded_up(rows, kStatePadding) + rows * out_stride(v_dim);
}

AttentionState state_at(float* memory, int64_t rows, int64_t v_dim) {
  const int64_t padded = rounded_up(rows, kStatePadding);
  return {.max = memory, .sum = memory + padded, .out = memory + 2 * padded, .out_stride = out_stride(v_dim)};
}

AttentionState from_row(const AttentionState& state, int64_t row) {
  return {.max = state.max + row,
          .sum = state.sum + row,
          .out = state.out + row * state.out_stride,
          .out_stride = state.out_stride};
}

// The type that kernels see: quantised keys and values are dequantised to bf16 first.
KvType attended_type(const KvLayout& layout) { return layout.has_codes() ? KvType::kBF16 : layout.type; }

class Attention {
 public:
  Attention(Pass& ctx, const CpuAttentionCall& call)
      : ctx_(ctx), call_(call), layout_(call.kv.layout), group_(call.heads / layout_.kv_heads) {
    divide_rows();
    divide_keys();
  }

  void run() {
    const int64_t rows = tokens_at_once_ * group_;
    const int64_t visible = rounded_up(rows, kStatePadding);
    query_floats_ = kernels::attention_query_bytes(rows, layout_.qk_dim) / 4;
    scratch_floats_ = kernels::attention_scratch_bytes(layout_.qk_dim) / 4;
    decoded_floats_ = layout_.has_codes() ? kAttentionBlock * layout_.row_values() / 2 : 0;
    ctx_.reserve_scratch(query_floats_ + scratch_floats_ + decoded_floats_ + visible +
                         2 * state_floats(rows, layout_.v_dim));
    const auto runs = static_cast<int64_t>(runs_.size());
    if (divided_) {
      const auto parts = static_cast<int64_t>(parts_.size());
      states_ = reinterpret_cast<float*>(
          ctx_.shared_scratch(parts * state_floats(rows, layout_.v_dim) * static_cast<int64_t>(sizeof(float))));
    }
    // The last rows of a prompt see the most keys: they start first, so that no long task is left at the end.
    ctx_.pool().parallel_for(runs, 1, [&](int64_t index, int64_t, int worker) {
      do_run(runs_[static_cast<size_t>(divided_ ? index : runs - 1 - index)], worker);
    });
    if (divided_) join_parts();
  }

 private:
  // The largest work items that still leave every thread several.
  void divide_rows() {
    int64_t most_tokens = 0;
    for (const BatchSequence& s : call_.batch->sequences) most_tokens = std::max(most_tokens, s.tokens);
    const auto tasks = [&](int64_t tokens) {
      int64_t count = 0;
      for (const BatchSequence& s : call_.batch->sequences) count += layout_.kv_heads * divided_up(s.tokens, tokens);
      return count;
    };
    const int64_t least = divided_up(kLeastRows, group_);
    tokens_at_once_ = std::min(most_tokens, std::max<int64_t>(1, kMostRows / group_));
    while (tokens_at_once_ > least && tasks(tokens_at_once_) < kTasksPerThread * ctx_.pool().threads()) {
      tokens_at_once_ = std::max(least, tokens_at_once_ / 2);
    }
    for (const BatchSequence& s : call_.batch->sequences) {
      for (int64_t head = 0; head < layout_.kv_heads; ++head) {
        for (int64_t first = 0; first < s.tokens; first += tokens_at_once_) {
          const int64_t tokens = std::min(tokens_at_once_, s.tokens - first);
          rows_.push_back({.sequence = &s, .kv_head = head, .first_token = first, .tokens = tokens});
        }
      }
    }
  }

  // Split-KV, where the work items alone do not occupy the threads.
  void divide_keys() {
    const int threads = ctx_.pool().threads();
    int64_t keys = 0;
    int64_t most_blocks = 0;
    for (const Rows& rows : rows_) {
      keys += rows.keys();
      most_blocks = std::max(most_blocks, rows.key_blocks());
    }
    divided_ = static_cast<int64_t>(rows_.size()) < kTasksPerThread * threads && most_blocks > 1 && threads > 1;
    if (divided_) {
      divide_among(threads, keys);
      const int64_t state_bytes = state_floats(tokens_at_once_ * group_, layout_.v_dim) * 4;
      divided_ = static_cast<int64_t>(parts_.size()) * state_bytes <= kMostStateBytes;
    }
    if (!divided_) divide_among(1, keys);
  }

  // Divides `all` keys into tasks of equal size, to a block.
  void divide_among(int64_t shares, int64_t all) {
    parts_.clear();
    runs_.clear();
    int64_t share = 1;
    int64_t before = 0;  // keys of the rows before
    for (size_t i = 0; i < rows_.size(); ++i) {
      Rows& rows = rows_[i];
      const int64_t blocks = rows.key_blocks();
      rows.first_part = static_cast<int64_t>(parts_.size());
      for (int64_t first = 0; first < blocks;) {
        int64_t last = blocks;
        const int64_t share_end = divided_up(share * all / shares - before - kAttentionBlock / 2, kAttentionBlock);
        if (share < shares && share_end < blocks) {
          ++share;
          last = std::clamp(all < shares * kNearSpanBlocks * kAttentionBlock ? share_end : near_span(share_end), first,
                            blocks);
          if (last == first) continue;
        }
        const auto first_part = static_cast<int64_t>(parts_.size());
        add_parts(first, last, blocks);
        runs_.push_back({.rows = static_cast<int64_t>(i),
                         .first_part = first_part,
                         .last_part = static_cast<int64_t>(parts_.size())});
        first = last;
      }
      rows.last_part = static_cast<int64_t>(parts_.size());
      before += rows.keys();
    }
  }

  // Where a span begins, if that is a block away: a part less.
  static int64_t near_span(int64_t block) {
    const int64_t span = (block + kSpanBlocks / 2) / kSpanBlocks * kSpanBlocks;
    return std::abs(span - block) <= 1 ? span : block;
  }

  // The parts of a task over blocks [first, last) of `blocks`.
  void add_parts(int64_t first, int64_t last, int64_t blocks) {
    while (first < last) {
      int64_t end = std::min(last, first + kSpanBlocks);
      if (first % kSpanBlocks != 0) end = first + 1;
      if (first == 0) end = last == blocks ? last : std::max(end, last / kSpanBlocks * kSpanBlocks);
      parts_.push_back({.first_block = first, .last_block = end});
      first = end;
    }
  }

  AttentionState part_state(int64_t index, int64_t rows) const {
    return state_at(states_ + index * state_floats(tokens_at_once_ * group_, layout_.v_dim), rows, layout_.v_dim);
  }

  void do_run(const Run& run, int worker) {
    const Rows& rows = rows_[static_cast<size_t>(run.rows)];
    const int64_t count = rows.tokens * group_;
    float* queries = ctx_.scratch(worker);
    float* scratch = queries + query_floats_;
    float* decoded = scratch + scratch_floats_;
    auto* visible = reinterpret_cast<int32_t*>(decoded + decoded_floats_);
    float* states = decoded + decoded_floats_ + rounded_up(tokens_at_once_ * group_, kStatePadding);
    const AttentionState own = state_at(states, count, layout_.v_dim);
    const AttentionState span =
        state_at(states + state_floats(tokens_at_once_ * group_, layout_.v_dim), count, layout_.v_dim);

    const int64_t first_q = (rows.sequence->first_row + rows.first_token) * call_.q_token_stride +
                            rows.kv_head * group_ * call_.q_head_stride;
    ctx_.kernels().attention_queries({.type = attended_type(layout_),
                                      .q = call_.q == nullptr ? nullptr : call_.q + first_q,
                                      .q_bf16 = call_.q_bf16 == nullptr ? nullptr : call_.q_bf16 + first_q,
                                      .token_stride = call_.q_token_stride,
                                      .head_stride = call_.q_head_stride,
                                      .heads = group_,
                                      .rows = count,
                                      .qk_dim = layout_.qk_dim,
                                      .v_dim = layout_.v_dim,
                                      .packed = reinterpret_cast<std::byte*>(queries)});
    const int64_t last_block = parts_[static_cast<size_t>(run.last_part - 1)].last_block;
    for (int64_t i = run.first_part; i < run.last_part; ++i) {
      const Part& part = parts_[static_cast<size_t>(i)];
      const AttentionState total = divided_ ? part_state(i, count) : own;
      for (int64_t block = part.first_block; block < part.last_block; ++block) {
        const bool in_first_span = block / kSpanBlocks == part.first_block / kSpanBlocks;
        const bool begins = block == part.first_block || block % kSpanBlocks == 0;
        const bool has_next = block + 1 < last_block && !layout_.has_codes();
        run_block(rows, block, has_next ? head(rows, block + 1) : nullptr, !begins, in_first_span ? total : span,
                  visible, queries, scratch, decoded);
        const bool ends = block + 1 == part.last_block || (block + 1) % kSpanBlocks == 0;
        if (ends && !in_first_span) {
          ctx_.kernels().attention_fold({.into = total, .other = span, .rows = count, .v_dim = layout_.v_dim});
        }
      }
    }
    if (!divided_) finish(rows, own, 0, count);
  }

  const std::byte* head(const Rows& rows, int64_t block) const {
    return call_.kv.head(rows.sequence->pages[static_cast<size_t>(block)], rows.kv_head);
  }

  void run_block(const Rows& rows, int64_t block, const std::byte* next_k, bool fold, const AttentionState& state,
                 int32_t* visible, const float* queries, float* scratch, float* decoded) {
    const int64_t count = rows.tokens * group_;
    const int64_t seen = rows.sequence->past_tokens + rows.first_token + 1 - block * kAttentionBlock;
    std::fill_n(visible, rounded_up(count, kStatePadding), 0);
    for (int64_t t = 0; t < rows.tokens; ++t) {
      const auto keys = static_cast<int32_t>(std::clamp<int64_t>(seen + t, 0, kAttentionBlock));
      std::fill_n(visible + t * group_, group_, keys);
    }
    const int32_t keys = visible[count - 1];
    const std::byte* k = head(rows, block);
    const std::byte* v = k + layout_.v_offset_bytes();
    if (layout_.has_codes()) {
      auto* wide = reinterpret_cast<uint16_t*>(decoded);
      decode(k, k + layout_.k_scales_offset_bytes(), layout_.qk_dim, keys, wide);
      uint16_t* wide_v = layout_.values_in_keys ? wide : wide + kAttentionBlock * layout_.qk_dim;
      if (!layout_.values_in_keys) decode(v, k + layout_.v_scales_offset_bytes(), layout_.v_dim, keys, wide_v);
      k = reinterpret_cast<const std::byte*>(wide);
      v = reinterpret_cast<const std::byte*>(wide_v);
    }
    ctx_.kernels().attention_block({.type = attended_type(layout_),
                                    .k = k,
                                    .v = v,
                                    .k_stride = layout_.qk_dim,
                                    .v_stride = layout_.v_stride(),
                                    .keys = keys,
                                    .qk_dim = layout_.qk_dim,
                                    .v_dim = layout_.v_dim,
                                    .scale = call_.scale,
                                    .queries = reinterpret_cast<const std::byte*>(queries),
                                    .rows = count,
                                    .visible = visible,
                                    .fold = fold,
                                    .state = state,
                                    .scratch = reinterpret_cast<std::byte*>(scratch),
                                    .next_k = next_k});
  }

  void decode(const std::byte* codes, const std::byte* scales, int64_t dim, int64_t keys, uint16_t* out) {
    ctx_.kernels().decode_kv({.type = layout_.type,
                              .codes = codes,
                              .scales = reinterpret_cast<const float*>(scales),
                              .rows = keys,
                              .dim = dim,
                              .out = out});
  }

  // Writes out / sum of rows [begin, end) to the output; destroys the state.
  void finish(const Rows& rows, const AttentionState& state, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t token = rows.sequence->first_row + rows.first_token + i / group_;
      const int64_t head = rows.kv_head * group_ + i % group_;
      float* state_out = state.out + i * state.out_stride;
      const float* sums = state_out;
      float* out =
          call_.out == nullptr ? state_out : call_.out + token * call_.out_token_stride + head * call_.out_head_stride;
      const float inverse = 1.0F / state.sum[i];
      ctx_.kernels().weighted_sum(&sums, &inverse, 1, layout_.v_dim, out);
      if (call_.out != nullptr) continue;
      const auto& encoded = call_.encoded_out;
      ctx_.kernels().encode_activations(encoded.type, out, layout_.v_dim, 1, layout_.v_dim, 0, layout_.v_dim,
                                        encoded.row(head, token), encoded.row_bytes);
    }
  }

  // Folds partial states in the order of a single run over all blocks: blocks within spans, then spans. So split-KV
  // does not change the bits.
  void join_parts() {
    const int64_t slices =
        divided_up(static_cast<int64_t>(ctx_.pool().threads()) * kTasksPerThread, static_cast<int64_t>(rows_.size()));
    const int64_t tasks = static_cast<int64_t>(rows_.size()) * slices;
    ctx_.pool().parallel_for(tasks, 1, [&](int64_t task, int64_t, int) {
      const Rows& rows = rows_[static_cast<size_t>(task / slices)];
      const int64_t count = rows.tokens * group_;
      const int64_t slice = divided_up(count, slices);
      const int64_t begin = std::min(count, task % slices * slice);
      const int64_t end = std::min(count, begin + slice);
      if (begin < end) join_rows(rows, begin, end);
    });
  }

  void join_rows(const Rows& rows, int64_t begin, int64_t end) {
    const int64_t count = rows.tokens * group_;
    const auto at = [&](int64_t part) { return from_row(part_state(part, count), begin); };
    const auto fold = [&](int64_t into, int64_t other) {
      ctx_.kernels().attention_fold(
          {.into = at(into), .other = at(other), .rows = end - begin, .v_dim = layout_.v_dim});
    };
    int64_t span = rows.first_part;  // the part that has the span's sums
    for (int64_t i = rows.first_part + 1; i < rows.last_part; ++i) {
      if (parts_[static_cast<size_t>(i)].first_block % kSpanBlocks != 0) {
        fold(span, i);
        continue;
      }
      if (span != rows.first_part) fold(rows.first_part, span);
      span = i;
    }
    if (span != rows.first_part) fold(rows.first_part, span);
    finish(rows, part_state(rows.first_part, count), begin, end);
  }

  Pass& ctx_;
  const CpuAttentionCall& call_;
  const KvLayout& layout_;
  int64_t group_;  // heads that share a key head
  int64_t tokens_at_once_ = 1;
  bool divided_ = false;  // split-KV is on
  std::vector<Rows> rows_;
  std::vector<Part> parts_;
  std::vector<Run> runs_;
  int64_t query_floats_ = 0;
  int64_t scratch_floats_ = 0;
  int64_t decoded_floats_ = 0;  // of a block of codes, as bf16
  float* states_ = nullptr;     // of all parts, if divided
};

}  // namespace

void store_kv(Context& context, const StoreKvCall& call) {
  constexpr int64_t kGrainTokens = 8;  // rows of some KB each: a smaller grain would cost more to hand out than to copy
  Pass ctx(context);
  const KvLayout& layout = call.kv.layout;
  for (const BatchSequence& s : call.batch->sequences) {
    ctx.pool().parallel_for(s.tokens, kGrainTokens, [&](int64_t begin, int64_t end, int) {
      for (int64_t t = begin; t < end; ++t) {
        const int64_t position = s.past_tokens + t;
        const int64_t in_block = position % kAttentionBlock;
        const float* k = call.k + (s.first_row + t) * call.k_stride;
        const PageId page = s.pages[static_cast<size_t>(position / kAttentionBlock)];
        for (int64_t h = 0; h < layout.kv_heads; ++h) {
          std::byte* head = call.kv.head(page, h);
          store_row(k + h * layout.qk_dim, layout.qk_dim, layout.type, in_block, head,
                    head + layout.k_scales_offset_bytes());
          if (layout.values_in_keys) continue;
          store_row(call.v + (s.first_row + t) * call.v_stride + h * layout.v_dim, layout.v_dim, layout.type, in_block,
                    head + layout.v_offset_bytes(), head + layout.v_scales_offset_bytes());
        }
      }
    });
  }
}

void attention(Pass& ctx, const CpuAttentionCall& call) {
  if (!call.batch->sequences.empty()) Attention(ctx, call).run();
}

void attention(Context& context, const AttentionCall& call) {
  Pass ctx(context);
  attention(ctx, CpuAttentionCall{.q = call.q,
                                  .q_token_stride = call.q_token_stride,
                                  .q_head_stride = call.q_head_stride,
                                  .out = call.out,
                                  .out_token_stride = call.out_token_stride,
                                  .out_head_stride = call.out_head_stride,
                                  .heads = call.heads,
                                  .scale = call.scale,
                                  .batch = call.batch,
                                  .kv = call.kv});
}

bool takes_bf16_queries(const Pass& ctx, const KvLayout& layout) {
  return ctx.kernels().takes_bf16_queries(attended_type(layout), layout.qk_dim, layout.v_dim);
}

}  // namespace glimmer::cpu

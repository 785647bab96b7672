// One block of attention of every table against the reference: numbers of rows and keys around the edges of tiles, what
// each row sees, and states that it is folded into. ops/attention_test.cc has the sums over many blocks.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "base/check.h"
#include "kernels/kernel_table.h"
#include "tensor/buffer.h"
#include "tensor/dtype.h"

namespace glimmer::kernels {
namespace {

struct Case {
  int64_t heads;
  int64_t tokens;
  int64_t keys;
  int64_t qk_dim;
  int64_t v_dim;
  KvType type;
  bool fold;
};

struct State {
  std::vector<float> max, sum, out;
  int64_t out_stride;
  AttentionState view() { return {.max = max.data(), .sum = sum.data(), .out = out.data(), .out_stride = out_stride}; }
};

class AttentionParity : public ::testing::TestWithParam<const KernelTable*> {
 protected:
  float random() { return static_cast<float>(rng_() >> 8) / (1 << 23) - 1.0F; }
  std::vector<float> random(int64_t count) {
    std::vector<float> values(static_cast<size_t>(count));
    for (float& value : values) value = random();
    return values;
  }

  // Keys, then values, of a whole block; what lies behind the keys that there are is NaN.
  Buffer random_kv(const Case& c) {
    const int64_t row = c.qk_dim + c.v_dim;
    Buffer kv(static_cast<size_t>(kAttentionBlock * row * (c.type == KvType::kF32 ? 4 : 2)));
    for (int64_t i = 0; i < kAttentionBlock * row; ++i) {
      const bool there =
          i < kAttentionBlock * c.qk_dim ? i < c.keys * c.qk_dim : i - kAttentionBlock * c.qk_dim < c.keys * c.v_dim;
      const float value = there ? random() : NAN;
      if (c.type == KvType::kF32) {
        kv.as<float>()[i] = value;
      } else {
        kv.as<uint16_t>()[i] = f32_to_bf16(value);
      }
    }
    return kv;
  }

  static void attend(const KernelTable& table, const Case& c, const std::vector<float>& q, const Buffer& kv,
                     const std::vector<int32_t>& visible, State& state) {
    const int64_t rows = c.heads * c.tokens;
    Buffer packed(static_cast<size_t>(attention_query_bytes(rows, c.qk_dim)));
    Buffer scratch(static_cast<size_t>(attention_scratch_bytes(c.qk_dim)));
    table.attention_queries({.type = c.type,
                             .q = q.data(),
                             .token_stride = c.heads * (c.qk_dim + 1),
                             .head_stride = c.qk_dim + 1,
                             .heads = c.heads,
                             .rows = rows,
                             .qk_dim = c.qk_dim,
                             .v_dim = c.v_dim,
                             .packed = packed.as<std::byte>()});
    const int64_t value_bytes = c.type == KvType::kF32 ? 4 : 2;
    const auto* k = kv.as<std::byte>();
    table.attention_block({.type = c.type,
                           .k = k,
                           .v = k + kAttentionBlock * c.qk_dim * value_bytes,
                           .k_stride = c.qk_dim,
                           .v_stride = c.v_dim,
                           .keys = c.keys,
                           .qk_dim = c.qk_dim,
                           .v_dim = c.v_dim,
                           .scale = 3.0F / std::sqrt(static_cast<float>(c.qk_dim)),
                           .queries = packed.as<std::byte>(),
                           .rows = rows,
                           .visible = visible.data(),
                           .fold = c.fold,
                           .state = state.view(),
                           .scratch = scratch.as<std::byte>()});
  }

  void expect_reference(const Case& c) {
    const int64_t rows = c.heads * c.tokens;
    const auto padded = static_cast<size_t>((rows + 31) / 32 * 32);
    const bool rough = GetParam()->takes_bf16_queries(c.type, c.qk_dim, c.v_dim);
    std::vector<float> q = random(rows * (c.qk_dim + 1));
    // What such tables round queries to they take as they are: the rest of the error is exp's, 2^-8 at most.
    if (rough) {
      for (float& value : q) value = bf16_to_f32(f32_to_bf16(value));
    }
    const Buffer kv = random_kv(c);
    std::vector<int32_t> visible(padded, 0);
    for (int64_t i = 0; i < rows; ++i) {
      visible[i] = static_cast<int32_t>(rng_() % 3 == 0 ? c.keys : rng_() % static_cast<unsigned>(c.keys + 1));
    }
    State want{random(static_cast<int64_t>(padded)), random(static_cast<int64_t>(padded)), random(rows * (c.v_dim + 1)),
               c.v_dim + 1};
    for (float& sum : want.sum) sum += 2;
    State got = want;
    attend(table_by_name("ref"), c, q, kv, visible, want);
    attend(*GetParam(), c, q, kv, visible, got);

    const auto text = [&](int64_t row) {
      return fmt::format("{} heads, {} tokens, {} keys, {}/{}, {}{}: row {}, which sees {}", c.heads, c.tokens, c.keys,
                         c.qk_dim, c.v_dim, c.type == KvType::kF32 ? "f32" : "bf16", c.fold ? ", folded" : "", row,
                         visible[row]);
    };
    for (int64_t row = 0; row < rows; ++row) {
      const int64_t behind = row * got.out_stride + c.v_dim;
      EXPECT_EQ(got.out[behind], want.out[behind]) << text(row) << ": written behind the end";
      if (visible[row] == 0 && !c.fold) {
        EXPECT_EQ(got.sum[row], 0) << text(row);
        EXPECT_EQ(got.out[row * got.out_stride], 0) << text(row);
        EXPECT_LT(got.max[row], -1e38F) << text(row);
        continue;
      }
      ASSERT_NEAR(got.max[row], want.max[row], 1e-5) << text(row);
      // The sums are of powers of a maximum that may differ in its last bit.
      ASSERT_NEAR(got.sum[row] / want.sum[row], 1, 2e-5) << text(row);
      for (int64_t d = 0; d < c.v_dim; ++d) {
        const double bound = rough ? 2e-5 + 0x1p-8 : 2e-5;  // all values are within 1
        ASSERT_NEAR(got.out[row * got.out_stride + d] / got.sum[row],
                    want.out[row * want.out_stride + d] / want.sum[row], bound)
            << text(row) << ", column " << d;
      }
    }
  }

  std::mt19937 rng_{11};
};

TEST_P(AttentionParity, BlocksOfEverySize) {
  struct Widths {
    int64_t qk_dim, v_dim;
  };
  for (const KvType type : {KvType::kF32, KvType::kBF16}) {
    for (const bool fold : {false, true}) {
      for (const Widths w : {Widths{64, 32}, {128, 128}, {40, 33}, {7, 5}}) {
        for (const int64_t keys : {1, 2, 15, 16, 17, 31, 32, 33, 100, 255, 256}) {
          for (const auto& [heads, tokens] : {std::pair<int64_t, int64_t>{1, 1}, {3, 5}, {8, 2}, {17, 1}, {20, 2}}) {
            expect_reference({heads, tokens, keys, w.qk_dim, w.v_dim, type, fold});
          }
        }
      }
    }
  }
}

// Queries that come as bf16 are packed as those that attention_queries rounds.
TEST_P(AttentionParity, QueriesMayComeRounded) {
  const KernelTable& table = *GetParam();
  EXPECT_EQ(table.round_queries == nullptr, !table.takes_bf16_queries(KvType::kBF16, 576, 512));
  for (const auto& [qk_dim, v_dim] : {std::pair<int64_t, int64_t>{576, 512}, {128, 128}, {40, 32}}) {
    if (!table.takes_bf16_queries(KvType::kBF16, qk_dim, v_dim)) continue;
    for (const int64_t tokens : {1, 3, 9}) {
      constexpr int64_t kHeads = 5;
      const int64_t stride = qk_dim + 3;
      const std::vector<float> q = random(tokens * kHeads * stride);
      const auto size = static_cast<size_t>(attention_query_bytes(tokens * kHeads, qk_dim));
      // As [heads, tokens, qk_dim], the last 32 columns by themselves.
      Buffer rounded(static_cast<size_t>(tokens * kHeads * qk_dim * 2));
      for (int64_t h = 0; h < kHeads; ++h) {
        const float* from = q.data() + h * stride;
        uint16_t* to = rounded.as<uint16_t>() + h * tokens * qk_dim;
        table.round_queries(from, kHeads * stride, tokens, qk_dim - 32, to, qk_dim);
        table.round_queries(from + qk_dim - 32, kHeads * stride, tokens, 32, to + qk_dim - 32, qk_dim);
      }
      AttentionQueries args{.type = KvType::kBF16,
                            .q = q.data(),
                            .token_stride = kHeads * stride,
                            .head_stride = stride,
                            .heads = kHeads,
                            .rows = tokens * kHeads,
                            .qk_dim = qk_dim,
                            .v_dim = v_dim};
      Buffer want(size);
      std::memset(want.as<std::byte>(), 1, size);
      args.packed = want.as<std::byte>();
      table.attention_queries(args);
      Buffer got(size);
      std::memset(got.as<std::byte>(), 1, size);
      args.q = nullptr;
      args.q_bf16 = rounded.as<uint16_t>();
      args.token_stride = qk_dim;
      args.head_stride = tokens * qk_dim;
      args.packed = got.as<std::byte>();
      table.attention_queries(args);
      EXPECT_EQ(std::memcmp(got.as<std::byte>(), want.as<std::byte>(), size), 0) << qk_dim << ", " << tokens;
    }
  }
}

TEST_P(AttentionParity, EveryNumberOfRows) {
  for (const KvType type : {KvType::kF32, KvType::kBF16}) {
    for (int64_t rows = 1; rows <= 40; ++rows) expect_reference({rows, 1, 50, 64, 64, type, true});
  }
}

TEST_P(AttentionParity, TheShapesOfModels) {
  for (const KvType type : {KvType::kF32, KvType::kBF16}) {
    expect_reference({20, 1, 256, 576, 512, type, false});
    expect_reference({20, 4, 200, 576, 512, type, true});
    expect_reference({12, 7, 256, 128, 128, type, true});
    expect_reference({12, 30, 256, 128, 128, type, true});  // more rows than are taken at once
  }
}

TEST_P(AttentionParity, FoldsStates) {
  for (const int64_t v_dim : {1, 16, 33, 512}) {
    constexpr int64_t kRows = 5;
    State want{random(32), random(32), random(kRows * v_dim), v_dim};
    State other{random(32), random(32), random(kRows * (v_dim + 3)), v_dim + 3};
    want.max[1] = -200;
    other.max[2] = -200;
    // A row that saw nothing leaves the other as it is.
    other.max[3] = -3.40282347e+38F;
    other.sum[3] = 0;
    std::fill_n(other.out.begin() + 3 * (v_dim + 3), v_dim, 0.0F);
    const State before = want;
    State got = want;
    table_by_name("ref").attention_fold({.into = want.view(), .other = other.view(), .rows = kRows, .v_dim = v_dim});
    GetParam()->attention_fold({.into = got.view(), .other = other.view(), .rows = kRows, .v_dim = v_dim});
    EXPECT_EQ(got.max, want.max);
    for (size_t i = 0; i < got.sum.size(); ++i) EXPECT_NEAR(got.sum[i], want.sum[i], 1e-6) << i;
    for (size_t i = 0; i < got.out.size(); ++i) EXPECT_NEAR(got.out[i], want.out[i], 1e-6) << i;
    EXPECT_EQ(got.sum[3], before.sum[3]);
    for (int64_t d = 3 * v_dim; d < 4 * v_dim; ++d) EXPECT_EQ(got.out[d], before.out[d]);
  }
}

std::vector<const KernelTable*> supported_tables() {
  std::vector<const KernelTable*> tables;
  for (const KernelTable* table : all_tables()) {
    if (table->supported()) tables.push_back(table);
  }
  return tables;
}

INSTANTIATE_TEST_SUITE_P(Tables, AttentionParity, ::testing::ValuesIn(supported_tables()),
                         [](const auto& test) { return std::string(test.param->name); });

}  // namespace
}  // namespace glimmer::kernels

// Attention of every table against a plain loop in float64, and against itself: however tokens are divided among calls,
// batches and threads, they get the same bits.
#include "ops/attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "tensor/dtype.h"

namespace glimmer {
namespace {

using kernels::kAttentionBlock;
using kernels::kAttentionSpan;

struct Shape4 {
  int64_t kv_heads;
  int64_t group;  // heads of a key head
  int64_t qk_dim;
  int64_t v_dim;
  bool values_in_keys = false;

  int64_t heads() const { return kv_heads * group; }
};

// A sequence's queries, keys and values in float32, all of its tokens.
struct Values {
  Shape4 shape;
  int64_t tokens;
  std::vector<float> q;  // [tokens, heads, qk_dim]
  std::vector<float> k;  // [tokens, kv_heads, qk_dim]
  std::vector<float> v;  // [tokens, kv_heads, v_dim]; empty with values_in_keys
  float scale;

  Values(const Shape4& s, int64_t count, unsigned seed) : shape(s), tokens(count) {
    std::mt19937 rng(seed);
    const auto fill = [&](std::vector<float>& values, int64_t size) {
      values.resize(static_cast<size_t>(size));
      for (float& value : values) value = static_cast<float>(rng() >> 8) / (1 << 23) - 1.0F;
    };
    fill(q, tokens * s.heads() * s.qk_dim);
    fill(k, tokens * s.kv_heads * s.qk_dim);
    if (!s.values_in_keys) fill(v, tokens * s.kv_heads * s.v_dim);
    scale = 4.0F / std::sqrt(static_cast<float>(s.qk_dim));  // so that some keys matter far more than others
  }
};

// Pages whose memory holds NaN until it is written, in no order.
class Pages {
 public:
  Pages(const Shape4& s, KvType type)
      : memory_(host_memory(),
                {.type = type,
                 .kv_heads = s.kv_heads,
                 .qk_dim = s.qk_dim,
                 .v_dim = s.v_dim,
                 .values_in_keys = s.values_in_keys},
                2, kMost),
        nan_(static_cast<size_t>(memory_.page_bytes()), std::byte{0xFF}) {}

  KvLayer layer() const { return memory_.layer(1); }
  PageId take() {
    const PageId page = ++taken_ * 37 % kMost;  // 37 has no divisor in common with kMost
    memory_.provide(page);
    memory_.write(page, nan_);
    return page;
  }

 private:
  static constexpr PageId kMost = 1024;
  KvMemory memory_;
  std::vector<std::byte> nan_;
  PageId taken_ = 0;
};

class Cache {
 public:
  Cache(Pages& pages, int64_t tokens) : layer_(pages.layer()) {
    for (int64_t first = 0; first < tokens; first += kAttentionBlock) ids_.push_back(pages.take());
  }
  const KvLayer& layer() const { return layer_; }
  std::span<const PageId> pages() const { return ids_; }

 private:
  KvLayer layer_;
  std::vector<PageId> ids_;
};

// Tokens [begin, end) of a sequence, whose earlier ones are in its cache.
struct Piece {
  const Values* values;
  Cache* cache;
  int64_t begin;
  int64_t end;
};

// Stores and, if asked, attends: the output of all pieces, one after the other.
enum class Work { kStore, kStoreAndAttend };

std::vector<float> run(Context& ctx, std::span<const Piece> pieces, Work work) {
  const Shape4& s = pieces.front().values->shape;
  std::vector<float> q;
  std::vector<float> k;
  std::vector<float> v;
  Batch batch;
  int64_t rows = 0;
  for (const Piece& piece : pieces) {
    const auto append = [&](std::vector<float>& to, const std::vector<float>& from, int64_t width) {
      if (!from.empty()) to.insert(to.end(), from.begin() + piece.begin * width, from.begin() + piece.end * width);
    };
    append(q, piece.values->q, s.heads() * s.qk_dim);
    append(k, piece.values->k, s.kv_heads * s.qk_dim);
    append(v, piece.values->v, s.kv_heads * s.v_dim);
    const int64_t tokens = piece.end - piece.begin;
    batch.sequences.push_back(
        {.first_row = rows, .tokens = tokens, .past_tokens = piece.begin, .pages = piece.cache->pages()});
    rows += tokens;
  }
  const KvLayer& kv = pieces.front().cache->layer();
  store_kv(ctx, {.k = k.data(),
                 .k_stride = s.kv_heads * s.qk_dim,
                 .v = s.values_in_keys ? nullptr : v.data(),
                 .v_stride = s.kv_heads * s.v_dim,
                 .batch = &batch,
                 .kv = kv});
  if (work == Work::kStore) return {};
  std::vector<float> out(static_cast<size_t>(rows * s.heads() * s.v_dim));
  attention(ctx, {.q = q.data(),
                  .q_token_stride = s.heads() * s.qk_dim,
                  .q_head_stride = s.qk_dim,
                  .out = out.data(),
                  .out_token_stride = s.heads() * s.v_dim,
                  .out_head_stride = s.v_dim,
                  .heads = s.heads(),
                  .scale = pieces.front().values->scale,
                  .batch = &batch,
                  .kv = kv});
  return out;
}

std::vector<float> attend(Context& ctx, const Values& values, Cache& cache, int64_t begin, int64_t end) {
  const Piece piece{&values, &cache, begin, end};
  return run(ctx, std::span(&piece, 1), Work::kStoreAndAttend);
}

void store(Context& ctx, const Values& values, Cache& cache, int64_t end) {
  if (end == 0) return;
  const Piece piece{&values, &cache, 0, end};
  run(ctx, std::span(&piece, 1), Work::kStore);
}

float rounded(float value, bool to_bf16) { return to_bf16 ? bf16_to_f32(f32_to_bf16(value)) : value; }

// One row by the formula: keys and values rounded as they are stored, the query if `round_query`.
struct Expected {
  std::vector<double> out;
  std::vector<double> size;  // the same sum of absolute values
};

Expected plain(const Values& x, KvType type, bool round_query, int64_t token, int64_t head) {
  const Shape4& s = x.shape;
  const int64_t kv_head = head / s.group;
  const bool bf16 = type == KvType::kBF16;
  std::vector<double> p;
  double most = -INFINITY;
  for (int64_t j = 0; j <= token; ++j) {
    double dot = 0;
    for (int64_t d = 0; d < s.qk_dim; ++d) {
      dot += static_cast<double>(rounded(x.q[(token * s.heads() + head) * s.qk_dim + d], round_query)) *
             rounded(x.k[(j * s.kv_heads + kv_head) * s.qk_dim + d], bf16);
    }
    p.push_back(dot * x.scale);
    most = std::max(most, p.back());
  }
  double sum = 0;
  for (double& value : p) sum += value = std::exp(value - most);
  Expected e{std::vector<double>(static_cast<size_t>(s.v_dim)), std::vector<double>(static_cast<size_t>(s.v_dim))};
  for (int64_t j = 0; j <= token; ++j) {
    const float* v = s.values_in_keys ? &x.k[j * s.qk_dim] : &x.v[(j * s.kv_heads + kv_head) * s.v_dim];
    for (int64_t d = 0; d < s.v_dim; ++d) {
      const double term = p[j] / sum * rounded(v[d], bf16);
      e.out[d] += term;
      e.size[d] += std::abs(term);
    }
  }
  return e;
}

class Attention : public ::testing::TestWithParam<const kernels::KernelTable*> {
 protected:
  Context context(int threads) const { return Context({.backend = std::string(GetParam()->name), .threads = threads}); }
  // Such tables round queries and exp(score - max) to 8 bits, an error of 2^-8 at most.
  bool rounds(const Shape4& s, KvType type) const { return GetParam()->takes_bf16_queries(type, s.qk_dim, s.v_dim); }

  void expect_plain(const Values& x, KvType type, int64_t begin, int64_t end) const {
    const Shape4& s = x.shape;
    Context ctx = context(2);
    Pages pages(s, type);
    Cache cache(pages, end);
    store(ctx, x, cache, begin);
    const std::vector<float> out = attend(ctx, x, cache, begin, end);
    const bool rough = rounds(s, type);
    for (int64_t token = begin; token < end; ++token) {
      for (int64_t head = 0; head < s.heads(); ++head) {
        const Expected e = plain(x, type, rough, token, head);
        for (int64_t d = 0; d < s.v_dim; ++d) {
          const double got = out[((token - begin) * s.heads() + head) * s.v_dim + d];
          const double bound = 1e-5 + (rough ? 0x1p-8 * e.size[d] : 0);
          ASSERT_NEAR(got, e.out[d], bound)
              << s.kv_heads << "x" << s.group << " heads of " << s.qk_dim << "/" << s.v_dim << ", "
              << (type == KvType::kF32 ? "f32" : "bf16") << ", token " << token << " of " << begin << ".." << end
              << ", head " << head << ", column " << d;
        }
      }
    }
  }
};

constexpr KvType kTypes[] = {KvType::kF32, KvType::kBF16};

TEST_P(Attention, EqualsAPlainLoop) {
  for (const Shape4& s : {Shape4{2, 3, 64, 64}, {3, 1, 24, 20}, {1, 5, 72, 40, true}, {1, 3, 96, 64, true}}) {
    const Values x(s, 600, 1);
    for (const KvType type : kTypes) {
      for (const auto& [begin, end] : {std::pair<int64_t, int64_t>{0, 1},
                                       {0, 2},
                                       {0, 40},
                                       {15, 18},
                                       {254, 255},
                                       {255, 258},
                                       {256, 257},
                                       {500, 513},
                                       {599, 600}}) {
        expect_plain(x, type, begin, end);
      }
    }
  }
}

TEST_P(Attention, EqualsAPlainLoopInTheShapesOfModels) {
  for (const Shape4& s : {Shape4{1, 20, 576, 512, true}, {2, 12, 128, 128}}) {
    const Values x(s, 600, 2);
    for (const KvType type : kTypes) {
      expect_plain(x, type, 0, 2);
      expect_plain(x, type, 598, 600);
    }
  }
}

// Blocks and spans of keys begin and end within the tokens of a call, and with them.
TEST_P(Attention, NeitherChunksNorThreadsChangeABit) {
  const int64_t tokens = kAttentionSpan + kAttentionBlock + 50;
  for (const Shape4& s : {Shape4{2, 2, 32, 32}, {1, 3, 40, 24, true}}) {
    const Values x(s, tokens, 3);
    const int64_t row = s.heads() * s.v_dim;
    for (const KvType type : kTypes) {
      Context one = context(1);
      Pages pages(s, type);
      Cache whole_cache(pages, tokens);
      const std::vector<float> whole = attend(one, x, whole_cache, 0, tokens);
      const auto expect_rows = [&](const std::vector<float>& got, int64_t begin, const std::string& what) {
        const std::vector<float> want(whole.begin() + begin * row,
                                      whole.begin() + begin * row + static_cast<int64_t>(got.size()));
        ASSERT_EQ(got, want) << what << " from token " << begin;
      };
      for (const int threads : {2, 3, 8}) {
        Context many = context(threads);
        Cache cache(pages, tokens);
        int64_t at = 0;
        for (const int64_t chunk : {1, 7, 248, 1, 404, 467, 1, 200, 1}) {
          const int64_t end = std::min(tokens, at + chunk);
          expect_rows(attend(many, x, cache, at, end), at, fmt::format("{} threads, {} tokens", threads, chunk));
          at = end;
        }
        for (const int64_t token :
             {int64_t{0}, kAttentionBlock - 1, kAttentionBlock, kAttentionSpan - 1, kAttentionSpan, tokens - 1}) {
          expect_rows(attend(many, x, cache, token, token + 1), token, fmt::format("{} threads, alone", threads));
        }
      }
    }
  }
}

// Threads divide blocks and spans of long contexts in many ways.
TEST_P(Attention, AnyNumberOfThreadsFoldsALongContextAlike) {
  const Shape4 s{1, 3, 32, 32, true};
  const int64_t most = 9 * kAttentionSpan;
  const Values x(s, most, 4);
  for (const KvType type : kTypes) {
    Context one = context(1);
    Pages pages(s, type);
    Cache cache(pages, most);
    store(one, x, cache, most);
    for (const int64_t blocks : {2, 3, 5, 8, 9, 15, 16, 17, 18, 19, 30, 33, 35, 36}) {
      const int64_t token = blocks * kAttentionBlock - 7;
      const std::vector<float> want = attend(one, x, cache, token, token + 1);
      for (const int threads : {2, 3, 4, 7}) {
        Context many = context(threads);
        EXPECT_EQ(attend(many, x, cache, token, token + 1), want) << blocks << " blocks, " << threads << " threads";
      }
    }
  }
}

TEST_P(Attention, ABatchGivesEachSequenceWhatItHasAlone) {
  const Shape4 s{2, 3, 64, 32};
  const std::pair<int64_t, int64_t> parts[] = {{0, 1}, {300, 301}, {1100, 1101}, {700, 750}, {0, 9}, {255, 257}};
  for (const KvType type : kTypes) {
    for (const int threads : {1, 3}) {
      Context ctx = context(threads);
      std::vector<Values> values;
      Pages pages(s, type);
      std::vector<Cache> caches;
      std::vector<float> alone;
      unsigned seed = 10;
      for (const auto& [begin, end] : parts) {
        values.emplace_back(s, end, seed++);
        caches.emplace_back(pages, end);
        store(ctx, values.back(), caches.back(), begin);
        const std::vector<float> out = attend(ctx, values.back(), caches.back(), begin, end);
        alone.insert(alone.end(), out.begin(), out.end());
      }
      std::vector<Piece> pieces;
      for (size_t i = 0; i < values.size(); ++i) {
        pieces.push_back({&values[i], &caches[i], parts[i].first, parts[i].second});
      }
      EXPECT_EQ(run(ctx, pieces, Work::kStoreAndAttend), alone) << threads << " threads";
    }
  }
}

std::vector<const kernels::KernelTable*> supported_tables() {
  std::vector<const kernels::KernelTable*> tables;
  for (const kernels::KernelTable* table : kernels::all_tables()) {
    if (table->supported()) tables.push_back(table);
  }
  return tables;
}

INSTANTIATE_TEST_SUITE_P(Tables, Attention, ::testing::ValuesIn(supported_tables()),
                         [](const auto& test) { return std::string(test.param->name); });

TEST(KvTypes, ExactPrecisionKeepsFloat32) {
  EXPECT_EQ(kv_type_of(Precision::kExact), KvType::kF32);
  EXPECT_EQ(kv_type_of(Precision::kFast), KvType::kBF16);
}

}  // namespace
}  // namespace glimmer

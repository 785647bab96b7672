#include "engine/prefix_cache.h"

#include <gmock/gmock.h>

#include <cstring>
#include <numeric>

#include "base/error.h"

namespace glimmer {
namespace {

constexpr int64_t kPage = KvPool::kPageTokens;

ModelConfig tiny(AttentionKind attention) {
  ModelConfig c;
  c.attention = attention;
  c.num_hidden_layers = 2;
  c.num_attention_heads = 2;
  c.num_key_value_heads = 2;
  c.head_dim = 4;
  c.kv_lora_rank = 8;
  c.qk_rope_head_dim = 4;
  return c;
}

std::vector<int32_t> sequence_from(int32_t first, int64_t count) {
  std::vector<int32_t> tokens(static_cast<size_t>(count));
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

std::vector<int32_t> joined(std::vector<int32_t> a, const std::vector<int32_t>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

class PrefixCacheTest : public ::testing::Test {
 protected:
  // A cache of keys and values that "computed" the tokens.
  KvCache computed(int64_t tokens) {
    KvCache kv(pool);
    kv.reserve(tokens);
    kv.append(tokens);
    return kv;
  }
  void insert(const std::vector<int32_t>& tokens) {
    KvCache kv = computed(static_cast<int64_t>(tokens.size()));
    cache.insert("", tokens, kv);
  }
  int64_t match(const std::vector<int32_t>& tokens) { return cache.match("", tokens); }

  std::shared_ptr<KvPool> pool = std::make_shared<KvPool>(tiny(AttentionKind::kMla), KvType::kBF16, 8);
  PrefixCache cache{pool};
};

TEST_F(PrefixCacheTest, FindsTheLongestBeginning) {
  const std::vector<int32_t> known = sequence_from(0, 2 * kPage + 10);
  EXPECT_EQ(match(known), 0);
  insert(known);
  EXPECT_EQ(cache.pages(), 3);
  EXPECT_EQ(match(known), 2 * kPage + 10);
  EXPECT_EQ(match(sequence_from(0, 2 * kPage + 500)), 2 * kPage + 10);
  EXPECT_EQ(match(sequence_from(0, 2 * kPage + 3)), 2 * kPage + 3);
  EXPECT_EQ(match(sequence_from(0, 7)), 7);
  EXPECT_EQ(match(joined(sequence_from(0, kPage + 9), {-1, -2})), kPage + 9);
  EXPECT_EQ(match(sequence_from(1, 50)), 0);
  EXPECT_EQ(cache.match("another scope", known), 0);
  EXPECT_EQ(match({}), 0);
}

TEST_F(PrefixCacheTest, WhatMatchesCanBeTaken) {
  insert(sequence_from(0, 2 * kPage + 10));
  insert(joined(sequence_from(0, kPage + 5), sequence_from(9000, 100)));
  for (const int64_t length : {int64_t{3}, kPage - 1, kPage, kPage + 5, kPage + 6, 2 * kPage, 2 * kPage + 10}) {
    const PrefixCache::Hit hit = cache.take("", sequence_from(0, length));
    EXPECT_EQ(hit.tokens, length);
    KvCache kv(pool);
    kv.adopt(hit.pages, hit.tokens);
    EXPECT_EQ(kv.size_tokens(), length);
  }
}

// Who takes a page that is not full may append to it; whoever comes second gets a copy, and so does who wants less.
TEST_F(PrefixCacheTest, OneSequenceAppendsToAPage) {
  insert(sequence_from(0, 10));
  const PrefixCache::Hit first = cache.take("", sequence_from(0, 50));
  const PrefixCache::Hit second = cache.take("", sequence_from(0, 50));
  const PrefixCache::Hit less = cache.take("", sequence_from(0, 5));
  EXPECT_EQ(first.tokens, 10);
  EXPECT_EQ(second.tokens, 10);
  EXPECT_EQ(less.tokens, 5);
  EXPECT_NE(first.pages[0], second.pages[0]);
  EXPECT_NE(first.pages[0], less.pages[0]);
  EXPECT_EQ(pool->pages(), 3);
}

TEST(PrefixCache, CopiesHoldWhatThePageHeld) {
  for (const AttentionKind kind : {AttentionKind::kMla, AttentionKind::kGqa}) {
    auto pool = std::make_shared<KvPool>(tiny(kind), KvType::kF32, 8);
    PrefixCache cache(pool);
    KvCache kv(pool);
    kv.reserve(100);
    kv.append(100);
    std::vector<std::byte> bytes(static_cast<size_t>(pool->page_bytes()));
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 31 % 251);
    pool->write(kv.page_ids()[0], bytes);
    cache.insert("", sequence_from(0, 100), kv);
    const PrefixCache::Hit hit = cache.take("", sequence_from(0, 60));
    KvCache copy(pool);
    copy.adopt(hit.pages, hit.tokens);
    const KvLayout layout = pool->layout();
    for (int64_t layer = 0; layer < 2; ++layer) {
      for (int64_t head = 0; head < layout.kv_heads; ++head) {
        const std::byte* from = kv.share().layer(layer).head(kv.page_ids()[0], head);
        const std::byte* to = copy.share().layer(layer).head(copy.page_ids()[0], head);
        EXPECT_EQ(std::memcmp(from, to, static_cast<size_t>(60 * layout.qk_dim * 4)), 0);
        if (layout.values_in_keys) continue;
        EXPECT_EQ(std::memcmp(from + layout.v_offset_bytes(), to + layout.v_offset_bytes(),
                              static_cast<size_t>(60 * layout.v_dim * 4)),
                  0);
      }
    }
  }
}

// Two that computed the same keep one copy of it.
TEST_F(PrefixCacheTest, InsertingAgainSharesPages) {
  const std::vector<int32_t> tokens = sequence_from(0, 2 * kPage);
  KvCache first = computed(2 * kPage);
  KvCache second = computed(2 * kPage);
  EXPECT_EQ(pool->pages(), 4);
  cache.insert("", tokens, first);
  cache.insert("", tokens, second);
  EXPECT_EQ(pool->pages(), 2);
  EXPECT_EQ(first.pages()[1], second.pages()[1]);
  EXPECT_EQ(second.page_ids()[1], first.page_ids()[1]);
}

TEST_F(PrefixCacheTest, ALongerBeginningReplacesAShorter) {
  insert(sequence_from(0, 10));
  insert(sequence_from(0, 30));
  EXPECT_EQ(cache.pages(), 1);
  insert(sequence_from(0, 20));
  EXPECT_EQ(cache.pages(), 1);
  EXPECT_EQ(match(sequence_from(0, 100)), 30);
  insert(sequence_from(0, kPage + 1));
  EXPECT_EQ(cache.pages(), 2);
  EXPECT_EQ(match(sequence_from(0, 1000)), kPage + 1);
}

TEST_F(PrefixCacheTest, EvictsTheLeastRecentlyUsedThatNoOneNeeds) {
  insert(sequence_from(0, 2 * kPage));  // pages a, b
  insert(sequence_from(5000, 100));     // page c
  const PrefixCache::Hit held = cache.take("", sequence_from(7000, 10));
  EXPECT_EQ(held.tokens, 0);
  const PrefixCache::Hit used = cache.take("", sequence_from(0, kPage));  // a is in use, b the oldest leaf
  EXPECT_TRUE(cache.evict());
  EXPECT_EQ(match(sequence_from(0, 2 * kPage)), kPage);
  EXPECT_EQ(match(sequence_from(5000, 100)), 100);
  EXPECT_TRUE(cache.evict());
  EXPECT_EQ(match(sequence_from(5000, 100)), 0);
  EXPECT_FALSE(cache.evict());
  EXPECT_EQ(pool->pages(), 1);
}

// A hit ends where no page can be had for it.
TEST_F(PrefixCacheTest, TakesLessWherePagesAreOut) {
  insert(sequence_from(0, kPage + 50));
  KvCache other = computed(6 * kPage);
  EXPECT_EQ(pool->free_pages(), 0);
  const PrefixCache::Hit hit = cache.take("", sequence_from(0, kPage + 20));
  EXPECT_EQ(hit.tokens, kPage);
  EXPECT_THROW(pool->allocate(), Error);
}

}  // namespace
}  // namespace glimmer

#include "model/kv_cache.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

namespace glimmer {
namespace {

using kernels::kAttentionBlock;

ModelConfig gqa() {
  ModelConfig c;
  c.attention = AttentionKind::kGqa;
  c.num_hidden_layers = 3;
  c.max_position_embeddings = 1024;
  c.num_attention_heads = 4;
  c.num_key_value_heads = 2;
  c.head_dim = 8;
  return c;
}

ModelConfig mla() {
  ModelConfig c;
  c.attention = AttentionKind::kMla;
  c.num_hidden_layers = 2;
  c.max_position_embeddings = 1024;
  c.kv_lora_rank = 16;
  c.qk_rope_head_dim = 4;
  return c;
}

TEST(KvCache, ATokenTakesItsKeysAndValuesInAllLayers) {
  EXPECT_EQ(KvCache::bytes_per_token(gqa(), KvType::kF32), 3 * 2 * (8 + 8) * 4);
  EXPECT_EQ(KvCache::bytes_per_token(gqa(), KvType::kBF16), 3 * 2 * (8 + 8) * 2);
  EXPECT_EQ(KvCache::bytes_per_token(mla(), KvType::kF32), 2 * (16 + 4) * 4);
  EXPECT_EQ(KvCache::bytes_per_token(mla(), KvType::kBF16), 2 * (16 + 4) * 2);
}

// Heads of all layers and blocks are apart from one another, and stay where they are when the cache grows.
TEST(KvCache, GrowingMovesNothing) {
  for (const ModelConfig& config : {gqa(), mla()}) {
    for (const KvType type : {KvType::kF32, KvType::kBF16}) {
      KvCache kv(config, type);
      const KvLayout layout = kv.share().layer(0).layout;
      int written = 0;
      const auto each_head = [&](int64_t first_block, int64_t last_block, const auto& body) {
        for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
          for (int64_t block = first_block; block < last_block; ++block) {
            for (int64_t head = 0; head < layout.kv_heads; ++head)
              body(kv.share().layer(layer).head(kv.page_ids()[static_cast<size_t>(block)], head));
          }
        }
      };
      std::vector<std::byte*> heads;
      const auto write = [&](std::byte* head) {
        std::memset(head, ++written, static_cast<size_t>(layout.head_bytes()));
        heads.push_back(head);
      };
      kv.reserve(1);
      each_head(0, 1, write);
      kv.append(kAttentionBlock);
      kv.reserve(kAttentionBlock);  // there is room already
      kv.reserve(3 * kAttentionBlock + 1);
      each_head(1, 4, write);
      size_t at = 0;
      const auto expect_same = [&](const std::byte* head) {
        EXPECT_EQ(head, heads[at]);
        ++at;
        EXPECT_EQ(head[0], static_cast<std::byte>(at));
        EXPECT_EQ(head[layout.head_bytes() - 1], static_cast<std::byte>(at));
      };
      each_head(0, 1, expect_same);
      each_head(1, 4, expect_same);
      EXPECT_EQ(kv.size_tokens(), kAttentionBlock);
    }
  }
}

}  // namespace
}  // namespace glimmer

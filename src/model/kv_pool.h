// Pool of KV pages, from which KvCaches are built and which several may share.
//
// A page holds kAttentionBlock tokens of a sequence in all layers, and never moves. Pages are reference-counted; when
// the last reference goes, the memory returns to the pool for the next page. References of one pool belong to one
// thread.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "model/config.h"
#include "ops/attention.h"
#include "tensor/buffer.h"

namespace glimmer {

// The layout of a model's keys and values of one layer.
//   GQA: keys [head_dim] and values [head_dim] of num_key_value_heads.
//   MLA: one key head, of the normed latent [kv_lora_rank] and the rotated k_pe [qk_rope_head_dim]; the latent is its
//   value too.
KvLayout kv_layout_of(const ModelConfig& config, KvType type);

class KvPage {
 public:
  explicit KvPage(std::byte* memory) : memory_(memory) {}
  std::byte* data() { return memory_; }
  const std::byte* data() const { return memory_; }

 private:
  std::byte* memory_;
};
using KvPageRef = std::shared_ptr<KvPage>;

class KvPool {
 public:
  static constexpr int64_t kPageTokens = kernels::kAttentionBlock;
  static constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max();

  KvPool(const ModelConfig& config, KvType type, int64_t max_pages = kUnlimited);

  const KvLayout& layout() const { return layout_; }
  int64_t layers() const { return layers_; }
  int64_t page_bytes() const { return layers_ * layout_.block_bytes(); }
  int64_t max_pages() const { return max_pages_; }
  int64_t pages() const;  // that are referred to
  int64_t free_pages() const { return max_pages_ - pages(); }

  // An uninitialised page. Throws kLimit when max_pages are in use, kMemory when memory is out.
  KvPageRef allocate();
  // Copies the first `tokens` of a page to another.
  void copy_rows(const KvPage& from, int64_t tokens, KvPage& to) const;

 private:
  struct Shared;  // the free list; pages may outlive the pool
  void add_slab();

  KvLayout layout_;
  int64_t layers_ = 0;
  int64_t max_pages_ = 0;
  std::shared_ptr<Shared> shared_;
};

}  // namespace glimmer

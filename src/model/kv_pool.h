// Pool of KV pages, from which KvCaches are built and which several may share.
//
// A page holds kAttentionBlock tokens of a sequence in all layers, and never moves. Pages are reference-counted
// numbers; when the last reference goes, the number returns to the pool for the next page. References of one pool
// belong to one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "model/config.h"
#include "model/placement.h"
#include "ops/kv_memory.h"

namespace glimmer {

// The layout of a model's keys and values of one layer.
//   GQA: keys [head_dim] and values [head_dim] of num_key_value_heads.
//   MLA: one key head, of the normed latent [kv_lora_rank] and the rotated k_pe [qk_rope_head_dim]; the latent is its
//   value too.
KvLayout kv_layout_of(const ModelConfig& config, KvType type);
// The same of one rank's heads.
KvLayout kv_layout_of(const ModelConfig& config, KvType type, const Placement& placement);

// The shares of a pool's pages that other ranks hold, which do as this rank's does.
class KvFollowers {
 public:
  virtual ~KvFollowers() = default;
  virtual void copy_rows(PageId from, int64_t tokens, PageId to) = 0;
};

// use_count() says who shares a page.
using KvPageRef = std::shared_ptr<const PageId>;

class KvPool {
 public:
  static constexpr int64_t kPageTokens = kernels::kAttentionBlock;

  // In the memory of the device that runs the model, which must outlive all pages.
  KvPool(const ModelConfig& config, KvType type, int64_t max_pages, Memory& memory = host_memory());
  // As many pages as one sequence of max_position_embeddings needs.
  explicit KvPool(const ModelConfig& config, KvType type, Memory& memory = host_memory());
  // Of pages whose share in `memory` is this rank's; the others' follow.
  KvPool(KvMemory memory, std::shared_ptr<KvFollowers> followers);

  const KvLayout& layout() const;
  // Whether whole pages are here, so that read() and write() are about all of them.
  bool is_whole() const;
  const KvMemory& share() const;  // this rank's, of all pages
  int64_t layers() const;
  int64_t page_bytes() const;
  static int64_t page_bytes(const ModelConfig& config, KvType type);  // of a whole model's
  Memory& memory() const;
  int64_t max_pages() const { return max_pages_; }
  int64_t pages() const;  // that are referred to
  int64_t free_pages() const { return max_pages_ - pages(); }

  // An uninitialised page. Throws kLimit when max_pages are in use, kMemory when memory is out.
  KvPageRef allocate();
  // As KvMemory. read() and write() may be called from any thread that holds a reference to the page.
  void copy_rows(PageId from, int64_t tokens, PageId to);
  void read(PageId page, std::span<std::byte> out) const;
  void write(PageId page, std::span<const std::byte> content);

 private:
  struct Shared;  // the free list and the memory; pages may outlive the pool

  int64_t max_pages_ = 0;
  std::shared_ptr<Shared> shared_;
};

}  // namespace glimmer

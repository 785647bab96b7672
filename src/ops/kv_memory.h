// Keys and values in one device's memory: its share of every page.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/kv_codes.h"
#include "ops/batch.h"
#include "tensor/buffer.h"

namespace glimmer {

using kernels::KvType;

// One layer's keys and values of kAttentionBlock tokens: for each key head its keys [kAttentionBlock, qk_dim] and then
// its values [kAttentionBlock, v_dim]. Where values are the first v_dim columns of the keys (MLA), there are only keys.
// Quantised types append their scales: the keys', then the values', f32 [kAttentionBlock, kv_groups(dim)].
struct KvLayout {
  KvType type = KvType::kF32;
  int64_t kv_heads = 0;
  int64_t qk_dim = 0;
  int64_t v_dim = 0;
  bool values_in_keys = false;

  bool has_codes() const { return type == KvType::kInt8 || type == KvType::kF8E4M3; }
  int64_t value_bytes() const { return type == KvType::kF32 ? 4 : has_codes() ? 1 : 2; }
  int64_t row_values() const { return values_in_keys ? qk_dim : qk_dim + v_dim; }  // of a token and key head
  int64_t k_groups() const { return has_codes() ? kernels::kv_groups(qk_dim) : 0; }
  int64_t v_groups() const { return has_codes() && !values_in_keys ? kernels::kv_groups(v_dim) : 0; }
  int64_t row_bytes() const { return row_values() * value_bytes() + (k_groups() + v_groups()) * 4; }
  int64_t head_bytes() const { return kernels::kAttentionBlock * row_bytes(); }
  int64_t block_bytes() const { return kv_heads * head_bytes(); }
  int64_t v_stride() const { return values_in_keys ? qk_dim : v_dim; }
  int64_t v_offset_bytes() const { return values_in_keys ? 0 : kernels::kAttentionBlock * qk_dim * value_bytes(); }
  int64_t k_scales_offset_bytes() const { return kernels::kAttentionBlock * row_values() * value_bytes(); }
  int64_t v_scales_offset_bytes() const { return k_scales_offset_bytes() + kernels::kAttentionBlock * k_groups() * 4; }
};

// One layer of all pages. Memory beyond the stored tokens is uninitialised.
struct KvLayer {
  KvLayout layout;
  std::byte* const* slabs = nullptr;
  int slab_shift = 0;  // a slab has 2^slab_shift pages
  int64_t page_bytes = 0;
  int64_t offset_bytes = 0;  // of the layer in a page

  std::byte* page(PageId page) const {
    const int64_t in_slab = page & ((1 << slab_shift) - 1);
    return slabs[page >> slab_shift] + in_slab * page_bytes + offset_bytes;
  }
  // The layer as one that has only key heads [first, first + count).
  KvLayer heads(int64_t first, int64_t count) const {
    KvLayer part = *this;
    part.layout.kv_heads = count;
    part.offset_bytes += first * layout.head_bytes();
    return part;
  }
  std::byte* head(PageId page_id, int64_t kv_head) const { return page(page_id) + kv_head * layout.head_bytes(); }
};

// Pages 0 .. max_pages - 1, each with a block of every layer. A page never moves. Memory is asked for slab by slab,
// when a page of it is first provided: a process may be short of address space, and systems that do not overcommit
// count what is reserved.
class KvMemory {
 public:
  // `memory` is the device's, and must outlive this.
  KvMemory(Memory& memory, const KvLayout& layout, int64_t layers, int64_t max_pages);

  Memory& memory() const { return memory_; }

  const KvLayout& layout() const { return layout_; }
  int64_t layers() const { return layers_; }
  int64_t max_pages() const { return max_pages_; }
  int64_t page_bytes() const { return layers_ * layout_.block_bytes(); }
  KvLayer layer(int64_t layer) const;

  // Makes sure that the page has memory. Throws kMemory. The owner's thread; others may read and write other pages
  // meanwhile.
  void provide(PageId page);

  // Of pages that were provided.
  void copy_rows(PageId from, int64_t tokens, PageId to);  // the first `tokens` of a page, in all layers
  void read(PageId page, std::span<std::byte> out) const;  // CHECKs that it is page_bytes()
  void write(PageId page, std::span<const std::byte> content);

 private:
  std::byte* at(PageId page) const { return layer(0).page(page); }

  Memory& memory_;
  KvLayout layout_;
  int64_t layers_;
  int64_t max_pages_;
  int slab_shift_ = 0;
  std::vector<Buffer> slabs_;
  std::vector<std::byte*> slab_data_;  // as long as it will ever be, as layer() gives its address away
};

}  // namespace glimmer

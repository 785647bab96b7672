#include "ops/kv_memory.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace glimmer {
namespace {

// Large enough that small pages too lie on huge pages of the system.
constexpr int64_t kSlabBytes = static_cast<int64_t>(2 * kMappedBufferBytes);

}  // namespace

KvMemory::KvMemory(Memory& memory, const KvLayout& layout, int64_t layers, int64_t max_pages)
    : memory_(memory), layout_(layout), layers_(layers), max_pages_(max_pages) {
  const auto pages = static_cast<uint64_t>(std::max<int64_t>(1, kSlabBytes / std::max<int64_t>(1, page_bytes())));
  slab_shift_ = std::bit_width(pages) - 1;
  const int64_t slabs = (max_pages + (int64_t{1} << slab_shift_) - 1) >> slab_shift_;
  slabs_.reserve(static_cast<size_t>(slabs));
  slab_data_.resize(static_cast<size_t>(slabs));
}

KvLayer KvMemory::layer(int64_t layer) const {
  return {.layout = layout_,
          .slabs = slab_data_.data(),
          .slab_shift = slab_shift_,
          .page_bytes = page_bytes(),
          .offset_bytes = layer * layout_.block_bytes()};
}

void KvMemory::provide(PageId page) {
  GLIMMER_CHECK(page >= 0 && page < max_pages_, "page {} of {}", page, max_pages_);
  const auto slab = static_cast<size_t>(page >> slab_shift_);
  if (slab_data_[slab] != nullptr || page_bytes() == 0) return;  // a rank may have no heads
  const int64_t first = static_cast<int64_t>(slab) << slab_shift_;
  const int64_t pages = std::min(int64_t{1} << slab_shift_, max_pages_ - first);
  slab_data_[slab] = slabs_.emplace_back(memory_, static_cast<size_t>(pages * page_bytes())).as<std::byte>();
}

void KvMemory::copy_rows(PageId from, int64_t tokens, PageId to) {
  GLIMMER_CHECK(tokens >= 0 && tokens <= kernels::kAttentionBlock, "{} tokens", tokens);
  const auto copy = [&](int64_t offset, int64_t row_bytes) {
    memory_.copy(at(to) + offset, at(from) + offset, static_cast<size_t>(tokens * row_bytes));
  };
  const int64_t value_bytes = layout_.value_bytes();
  for (int64_t head = 0; head < layers_ * layout_.kv_heads; ++head) {
    const int64_t at_head = head * layout_.head_bytes();
    copy(at_head, layout_.qk_dim * value_bytes);
    if (!layout_.values_in_keys) copy(at_head + layout_.v_offset_bytes(), layout_.v_dim * value_bytes);
    copy(at_head + layout_.k_scales_offset_bytes(), layout_.k_groups() * 4);
    copy(at_head + layout_.v_scales_offset_bytes(), layout_.v_groups() * 4);
  }
}

void KvMemory::read(PageId page, std::span<std::byte> out) const {
  GLIMMER_CHECK(static_cast<int64_t>(out.size()) == page_bytes(), "{} bytes of {}", out.size(), page_bytes());
  memory_.read(at(page), out);
}

void KvMemory::write(PageId page, std::span<const std::byte> content) {
  GLIMMER_CHECK(static_cast<int64_t>(content.size()) == page_bytes(), "{} bytes of {}", content.size(), page_bytes());
  memory_.write(at(page), content);
}

}  // namespace glimmer

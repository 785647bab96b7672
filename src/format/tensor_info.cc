#include "format/tensor_info.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <utility>

namespace glimmer {
namespace {

int madvise_flag(Access access) {
  switch (access) {
    case Access::kNormal:
      return MADV_NORMAL;
    case Access::kSequential:
      return MADV_SEQUENTIAL;
    case Access::kWillNeed:
      return MADV_WILLNEED;
    case Access::kDontNeed:
      return MADV_DONTNEED;
  }
  return MADV_NORMAL;
}

}  // namespace

bool TensorInfo::is_aligned() const { return reinterpret_cast<uintptr_t>(data.data()) % dtype_size_bytes(dtype) == 0; }

ConstTensorView TensorInfo::view(Tensor& copy) const {
  if (is_aligned()) return {data.data(), dtype, shape};
  copy = Tensor(dtype, shape);
  if (!data.empty()) std::memcpy(copy.view().data, data.data(), data.size());
  return std::as_const(copy).view();
}

void advise(std::span<const std::byte> bytes, Access access) {
  if (bytes.empty()) return;
  static const auto page_bytes = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(bytes.data());
  const uintptr_t end = begin + bytes.size();
  // Neighbours share the first and the last page. Reading them early is harmless; dropping them is not what was asked.
  const bool drop = access == Access::kDontNeed;
  const uintptr_t first = (drop ? begin + page_bytes - 1 : begin) / page_bytes * page_bytes;
  const uintptr_t last = (drop ? end : end + page_bytes - 1) / page_bytes * page_bytes;
  if (first >= last) return;
  ::madvise(reinterpret_cast<void*>(first), last - first, madvise_flag(access));  // NOLINT: an address of ours
}

}  // namespace glimmer

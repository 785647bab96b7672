#include "support/fenced_device.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <iterator>

#include "base/check.h"
#include "base/error.h"
#include "ops/op_table.h"

namespace glimmer::testing {
namespace {

constexpr size_t kReservedBytes = size_t{16} << 30;  // address space, not memory
constexpr size_t kPageBytes = 4096;
// Of large allocations only the beginning is filled: what is never touched takes no memory, and mprotect no time.
constexpr size_t kFilledBytes = size_t{256} << 10;

size_t rounded(size_t size_bytes) { return (size_bytes + kBufferAlignment - 1) / kBufferAlignment * kBufferAlignment; }

// The CPU's body of an operation, with the memory open meanwhile.
template <auto kOperation>
struct Fenced;
template <typename... Args, void (*OpTable::*kOperation)(Context&, Args...)>
struct Fenced<kOperation> {
  static void run(Context& ctx, Args... args) {
    auto& device = dynamic_cast<FencedDevice&>(ctx.device());
    const FencedMemory::Opening open(*device.shared_memory());
    (device.CpuDevice::ops().*kOperation)(ctx, args...);
  }
};

constexpr OpTable kOps = {
    .embed = Fenced<&OpTable::embed>::run,
    .gather_rows = Fenced<&OpTable::gather_rows>::run,
    .gather_columns = Fenced<&OpTable::gather_columns>::run,
    .rms_norm = Fenced<&OpTable::rms_norm>::run,
    .add = Fenced<&OpTable::add>::run,
    .linear = Fenced<&OpTable::linear>::run,
    .fill_rope = Fenced<&OpTable::fill_rope>::run,
    .rope = Fenced<&OpTable::rope>::run,
    .store_kv = Fenced<&OpTable::store_kv>::run,
    .attention = Fenced<&OpTable::attention>::run,
    .mla = Fenced<&OpTable::mla>::run,
    .mlps = Fenced<&OpTable::mlps>::run,
    .route = Fenced<&OpTable::route>::run,
    .moe = Fenced<&OpTable::moe>::run,
};

}  // namespace

FencedMemory::FencedMemory() {
  void* mapped = mmap(nullptr, kReservedBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) fail(ErrorCode::kMemory, "cannot reserve {} bytes of address space", kReservedBytes);
  base_ = static_cast<std::byte*>(mapped);
}

FencedMemory::~FencedMemory() { munmap(base_, kReservedBytes); }

std::byte* FencedMemory::allocate(size_t size_bytes) {
  if (size_bytes == 0) return nullptr;
  const size_t wanted = rounded(size_bytes);
  const std::lock_guard lock(mutex_);
  size_t offset = used_bytes_;
  auto hole = free_.begin();
  while (hole != free_.end() && hole->second < wanted) ++hole;
  if (hole != free_.end()) {
    offset = hole->first;
    if (hole->second > wanted) free_[offset + wanted] = hole->second - wanted;
    free_.erase(offset);
  } else if (offset + wanted > kReservedBytes) {
    fail(ErrorCode::kMemory, "cannot allocate {} bytes: out of fenced memory", size_bytes);
  } else {
    used_bytes_ += wanted;
  }
  protect(PROT_READ | PROT_WRITE);
  std::memset(base_ + offset, 0xFF, std::min(wanted, kFilledBytes));
  if (openings_ == 0) protect(PROT_NONE);
  return base_ + offset;
}

void FencedMemory::release(std::byte* data, size_t size_bytes) noexcept {
  const std::lock_guard lock(mutex_);
  auto at = free_.emplace(static_cast<size_t>(data - base_), rounded(size_bytes)).first;
  const auto join = [&](auto first, auto second) {
    if (first->first + first->second != second->first) return first;
    first->second += second->second;
    free_.erase(second);
    return first;
  };
  if (std::next(at) != free_.end()) join(at, std::next(at));
  if (at != free_.begin()) join(std::prev(at), at);
}

void FencedMemory::write(std::byte* to, std::span<const std::byte> from) { copy(to, from.data(), from.size()); }

void FencedMemory::read(const std::byte* from, std::span<std::byte> to) const {
  const Opening open(*this);
  if (!to.empty()) std::memcpy(to.data(), from, to.size());
}

void FencedMemory::copy(std::byte* to, const std::byte* from, size_t size_bytes) {
  const Opening open(*this);
  if (size_bytes > 0) std::memcpy(to, from, size_bytes);
}

void FencedMemory::open() const {
  const std::lock_guard lock(mutex_);
  if (openings_++ == 0) protect(PROT_READ | PROT_WRITE);
}

void FencedMemory::close() const {
  const std::lock_guard lock(mutex_);
  if (--openings_ == 0) protect(PROT_NONE);
}

void FencedMemory::protect(int access) const {
  const size_t used = (used_bytes_ + kPageBytes - 1) / kPageBytes * kPageBytes;
  if (used > 0) GLIMMER_CHECK(mprotect(base_, used, access) == 0, "mprotect of {} bytes", used);
}

FencedDevice::FencedDevice(const DeviceOptions& options, std::shared_ptr<FencedMemory> memory)
    : CpuDevice(options), memory_(std::move(memory)) {}

const OpTable& FencedDevice::ops() const { return kOps; }

}  // namespace glimmer::testing

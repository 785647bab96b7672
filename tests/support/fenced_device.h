// A device whose memory the host can neither read nor write outside of its operations: what dereferences an address of
// it elsewhere dies with SIGSEGV. It shows without a GPU that host and device are apart.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>

#include "ops/cpu/device.h"
#include "tensor/memory.h"

namespace glimmer::testing {

// Address space of a fixed size that is mapped without access, except while something has it open. What it allocates is
// filled with NaN, large ones at their beginning. Any thread.
class FencedMemory final : public Memory {
 public:
  FencedMemory();
  ~FencedMemory() override;

  bool is_host() const override { return false; }
  std::byte* allocate(size_t size_bytes) override;
  void release(std::byte* data, size_t size_bytes) noexcept override;
  void write(std::byte* to, std::span<const std::byte> from) override;
  void read(const std::byte* from, std::span<std::byte> to) const override;
  void copy(std::byte* to, const std::byte* from, size_t size_bytes) override;

  // Accessible as long as one of these lives.
  class Opening {
   public:
    explicit Opening(const FencedMemory& memory) : memory_(memory) { memory_.open(); }
    ~Opening() { memory_.close(); }
    Opening(const Opening&) = delete;
    Opening& operator=(const Opening&) = delete;

   private:
    const FencedMemory& memory_;
  };

 private:
  void open() const;
  void close() const;
  void protect(int access) const;

  std::byte* base_ = nullptr;
  mutable std::mutex mutex_;
  mutable int openings_ = 0;
  size_t used_bytes_ = 0;          // beyond them nothing was ever allocated
  std::map<size_t, size_t> free_;  // holes before that: offset to size
};

class FencedDevice final : public cpu::CpuDevice {
 public:
  // Devices of one model share its memory.
  explicit FencedDevice(const DeviceOptions& options,
                        std::shared_ptr<FencedMemory> memory = std::make_shared<FencedMemory>());

  std::string_view name() const override { return "fenced"; }
  const OpTable& ops() const override;
  Memory& memory() override { return *memory_; }
  const std::shared_ptr<FencedMemory>& shared_memory() const { return memory_; }

 private:
  std::shared_ptr<FencedMemory> memory_;
};

}  // namespace glimmer::testing

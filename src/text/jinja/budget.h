// What one render may still spend. The budget of the running render is thread-local: values charge themselves to it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace glimmer::jinja {

struct Limits {
  int64_t max_steps = 0;
  size_t max_output_bytes = 0;
  size_t max_memory_bytes = 0;
  int max_call_depth = 0;
};

// Stack that parsing or evaluating one template may use, whatever the build; threads are expected to have 2 MiB or
// more.
inline constexpr size_t kMaxStackBytes = size_t{1} << 20;

class Budget {
 public:
  // Makes this the thread's budget until destruction.
  explicit Budget(const Limits& limits);
  ~Budget();
  Budget(const Budget&) = delete;
  Budget& operator=(const Budget&) = delete;

  static Budget* current();

  // One unit of work, or `bytes` of text read or written. Throws kLimit.
  void step() {
    if (++steps_ > limits_.max_steps) [[unlikely]]
      out_of_steps();
  }
  void work(size_t bytes) {
    steps_ += static_cast<int64_t>(bytes / 16);
    step();
  }

  // Live memory of values. Throws kLimit.
  void allocate(size_t bytes);
  void release(size_t bytes) { memory_ -= bytes; }

  // Throws kLimit when a string of `bytes` may not be made: call it before making a long one.
  void check_string(size_t bytes) const;

  // Throws kLimit when this thread's stack has grown too far since the budget was made.
  void check_stack() const;

  const Limits& limits() const { return limits_; }

 private:
  [[noreturn]] void out_of_steps() const;

  Limits limits_;
  int64_t steps_ = 0;
  size_t memory_ = 0;
  uintptr_t stack_base_ = 0;
  Budget* outer_ = nullptr;
};

// Distance of this call's frame from `base`, another frame of the same thread.
size_t stack_distance(uintptr_t base);
uintptr_t stack_here();

// Charges work to the current render, if there is one.
inline void charge_work(size_t bytes) {
  if (Budget* budget = Budget::current()) budget->work(bytes);
}

}  // namespace glimmer::jinja

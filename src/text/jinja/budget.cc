#include "text/jinja/budget.h"

#include "base/error.h"

namespace glimmer::jinja {
namespace {
thread_local Budget* t_budget = nullptr;
}

// The frame address, not that of a local: AddressSanitizer moves locals off the stack.
__attribute__((noinline)) uintptr_t stack_here() { return reinterpret_cast<uintptr_t>(__builtin_frame_address(0)); }

size_t stack_distance(uintptr_t base) {
  const uintptr_t here = stack_here();
  return here > base ? here - base : base - here;
}

Budget::Budget(const Limits& limits) : limits_(limits), stack_base_(stack_here()), outer_(t_budget) { t_budget = this; }
Budget::~Budget() { t_budget = outer_; }
Budget* Budget::current() { return t_budget; }

void Budget::allocate(size_t bytes) {
  if (bytes > limits_.max_memory_bytes || memory_ > limits_.max_memory_bytes - bytes) {
    fail(ErrorCode::kLimit, "the template's values need more than {} MiB of memory", limits_.max_memory_bytes >> 20);
  }
  memory_ += bytes;
}

void Budget::check_string(size_t bytes) const {
  if (bytes > limits_.max_output_bytes) {
    fail(ErrorCode::kLimit, "a string of {} bytes is longer than the limit of {}", bytes, limits_.max_output_bytes);
  }
}

void Budget::check_stack() const {
  if (stack_distance(stack_base_) > kMaxStackBytes) {
    fail(ErrorCode::kLimit, "expressions, macros or values are nested too deeply");
  }
}

void Budget::out_of_steps() const {
  fail(ErrorCode::kLimit, "the template takes more than {} steps (an endless loop or recursion?)", limits_.max_steps);
}

}  // namespace glimmer::jinja

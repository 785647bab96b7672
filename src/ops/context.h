// What every operation is handed: which kernels, how exactly, which threads, who listens.
#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/kernel_table.h"
#include "tensor/tap.h"

namespace glimmer {

// How values are rounded on their way.
//   kFast   products read activations in the type that the kernels take fastest; keys and values are kept in bf16, if
//           nothing else is asked for
//   kExact  float32 throughout
enum class Precision { kFast, kExact };

using kernels::KvType;

std::string_view precision_name(Precision precision);  // "fast", "exact"
Precision precision_by_name(std::string_view name);    // throws kUsage, listing the known
std::string_view kv_type_name(KvType type);            // "f32", "bf16", "int8", "fp8"
KvType kv_type_by_name(std::string_view name);         // throws kUsage, listing the known

// The type of keys and values that goes with a precision where none is asked for.
inline KvType kv_type_of(Precision precision) { return precision == Precision::kExact ? KvType::kF32 : KvType::kBF16; }

// What a product with a weight reads: `tokens` rows of `columns` values, x_stride apart.
struct LinearInput {
  std::string_view name;  // LinearWeight::name
  const float* x = nullptr;
  int64_t tokens = 0;
  int64_t columns = 0;
  int64_t x_stride = 0;
};

class Context {
 public:
  struct Options {
    std::string backend;  // a kernel table's name, or empty for the fastest that runs here
    int threads = 0;      // 0: all that this process may use
    Precision precision = Precision::kFast;
    std::optional<KvType> kv_type;     // of keys and values, if it is not kv_type_of(precision)
    std::optional<Topology> topology;  // if it is not this process's own

    KvType kept_kv_type() const { return kv_type.value_or(kv_type_of(precision)); }
  };
  explicit Context(const Options& options);  // throws kUsage or kUnsupported

  const kernels::KernelTable& kernels() const { return kernels_; }
  Precision precision() const { return precision_; }
  KvType kv_type() const { return kv_type_; }
  ThreadPool& pool() { return pool_; }

  // What a product with weights of this layout reads on its left side.
  kernels::ActivationType activation_type(const WeightLayout& layout) const {
    return precision_ == Precision::kExact ? kernels::ActivationType::kF32 : kernels_.fast_activations(layout);
  }

  // Memory of its own for each thread of a parallel loop: reserved before the loop, since its body must not throw.
  void reserve_scratch(int64_t count);  // at least `count` floats a thread; what they held is lost
  float* scratch(int worker) { return scratch_[static_cast<size_t>(worker)].as<float>(); }

  // Memory that an operation shares among its threads, until the next one asks for it.
  std::byte* shared_scratch(int64_t size_bytes);

  // Called on the calling thread before each product, to measure which columns of a weight matter.
  using LinearObserver = std::function<void(const LinearInput& input)>;
  void set_linear_observer(LinearObserver observer) { linear_observer_ = std::move(observer); }
  const LinearObserver& linear_observer() const { return linear_observer_; }

  // Forward passes look at it between layers, and end with kCancelled. It may become true at any time, from any thread
  // or signal handler. May be null.
  void set_cancelled(const std::atomic<bool>* cancelled) { cancelled_ = cancelled; }
  bool cancelled() const { return cancelled_ != nullptr && cancelled_->load(std::memory_order_relaxed); }

  void set_tap(Tap* tap) { tap_ = tap; }
  bool tapped() const { return tap_ != nullptr; }
  void record(std::string_view name, ConstTensorView value) {
    if (tap_ != nullptr) tap_->record(name, value);
  }

 private:
  const kernels::KernelTable& kernels_;
  Precision precision_;
  KvType kv_type_;
  ThreadPool pool_;
  std::vector<Buffer> scratch_;
  Buffer shared_scratch_;
  const std::atomic<bool>* cancelled_ = nullptr;
  Tap* tap_ = nullptr;
  LinearObserver linear_observer_;
};

}  // namespace glimmer

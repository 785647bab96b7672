// State passed to every operation of a pass: device, precision, observers, cancellation.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "comm/group.h"
#include "kernels/kernel_table.h"
#include "ops/device.h"
#include "tensor/tap.h"

namespace glimmer {

// How activations are rounded.
//   kFast   matmuls read activations in the type that the device's kernels take fastest; the KV cache is bf16 unless
//           another type is set
//   kExact  float32 throughout
enum class Precision { kFast, kExact };

using kernels::KvType;

std::string_view precision_name(Precision precision);  // "fast", "exact"
Precision precision_by_name(std::string_view name);    // throws kUsage, listing the known
std::string_view kv_type_name(KvType type);            // "f32", "bf16", "int8", "fp8"
KvType kv_type_by_name(std::string_view name);         // throws kUsage, listing the known

// The default KV cache type of a precision.
inline KvType kv_type_of(Precision precision) { return precision == Precision::kExact ? KvType::kF32 : KvType::kBF16; }

// What a matmul with a weight reads: `tokens` rows of `columns` values, x_stride apart. An observer gets it in host
// memory.
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
    std::string backend;  // as in DeviceOptions
    int threads = 0;
    Precision precision = Precision::kFast;
    std::optional<KvType> kv_type;  // of the KV cache; absent: kv_type_of(precision)
    std::optional<Topology> topology;

    KvType kept_kv_type() const { return kv_type.value_or(kv_type_of(precision)); }
    DeviceOptions device_options() const { return {.backend = backend, .threads = threads, .topology = topology}; }
  };
  // Opens the device that the options name, for this context alone. Throws as open_device does.
  explicit Context(const Options& options);
  // Borrows the device, and the group of ranks that divide each layer.
  Context(Device& device, Precision precision, KvType kv_type, comm::Group& group = comm::solo());

  Device& device() { return *device_; }
  const Device& device() const { return *device_; }
  ThreadPool& pool() { return device_->host_threads(); }
  comm::Group& group() { return *group_; }
  Precision precision() const { return precision_; }
  KvType kv_type() const { return kv_type_; }

  // Called on the calling thread before each matmul, to measure which columns of a weight matter.
  using LinearObserver = std::function<void(const LinearInput& input)>;
  void set_linear_observer(LinearObserver observer) { linear_observer_ = std::move(observer); }
  bool observes_linear() const { return static_cast<bool>(linear_observer_); }
  // Tells the observer, if there is one, of this input, which lies in the device's memory.
  void observe_linear(const LinearInput& input);

  // Polled between layers; a forward pass that finds it set ends with kCancelled. Any thread or signal handler may set
  // it at any time. May be null.
  void set_cancelled(const std::atomic<bool>* cancelled) { cancelled_ = cancelled; }
  bool cancelled() const { return cancelled_ != nullptr && cancelled_->load(std::memory_order_relaxed); }

  void set_tap(Tap* tap) { tap_ = tap; }
  bool tapped() const { return tap_ != nullptr; }
  // Hands the tap, if there is one, a tensor of the device's memory.
  void record(std::string_view name, ConstTensorView value);

 private:
  std::unique_ptr<Device> owned_;
  Device* device_;
  comm::Group* group_;
  Precision precision_;
  KvType kv_type_;
  const std::atomic<bool>* cancelled_ = nullptr;
  Tap* tap_ = nullptr;
  LinearObserver linear_observer_;
};

}  // namespace glimmer

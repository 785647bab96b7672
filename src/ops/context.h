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
#include "ops/probe.h"

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

  // Polled between layers; a forward pass that finds it set ends with kCancelled. Any thread or signal handler may set
  // it at any time. May be null.
  void set_cancelled(const std::atomic<bool>* cancelled) { cancelled_ = cancelled; }
  bool cancelled() const { return cancelled_ != nullptr && cancelled_->load(std::memory_order_relaxed); }

  // Null: nothing listens. Must outlive the passes that it listens to.
  void set_probe(Probe* probe) { probe_ = probe; }
  bool wants(std::string_view what, int64_t layer) const { return probe_ != nullptr && probe_->wants(what, layer); }
  bool wants_input(std::string_view weight) const { return probe_ != nullptr && probe_->wants_input(weight); }
  // Hands the probe, if it wants it, a tensor of the device's memory, copied to the host's; or an input in that memory.
  void record(std::string_view what, int64_t layer, ConstTensorView value);
  void record_input(const LinearInput& input);

 private:
  std::unique_ptr<Device> owned_;
  Device* device_;
  comm::Group* group_;
  Precision precision_;
  KvType kv_type_;
  const std::atomic<bool>* cancelled_ = nullptr;
  Probe* probe_ = nullptr;
};

}  // namespace glimmer

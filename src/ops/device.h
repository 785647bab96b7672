// Where operations run: a device implements each of them, has its own memory, and comes with host threads.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/thread_pool.h"
#include "base/topology.h"
#include "tensor/memory.h"

namespace glimmer {

struct OpTable;

class Device {
 public:
  Device() = default;
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  virtual ~Device() = default;

  virtual std::string_view name() const = 0;     // "cpu"
  virtual std::string_view backend() const = 0;  // which of its kernels, as --backend names them: "avx512"
  virtual const OpTable& ops() const = 0;
  // Of weights, activations, keys and values. What is made of it must be gone before the device is.
  virtual Memory& memory() = 0;
  // Threads for host work: loading, sampling. One loop at a time.
  virtual ThreadPool& host_threads() = 0;
  // Of the processors that they run on.
  virtual const Topology& topology() const = 0;
};

struct DeviceOptions {
  std::string backend;               // a kernel table's name; empty: the fastest that this processor supports
  int threads = 0;                   // 0: all available CPUs
  std::optional<Topology> topology;  // overrides this machine's own, for tests
};

// Throws kUsage for an unknown backend (listing the known), kUnsupported for one that this processor lacks.
std::unique_ptr<Device> open_device(const DeviceOptions& options);

}  // namespace glimmer

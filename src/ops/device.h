// Where operations run: a device has an implementation of each operation, memory of its own, and threads of the host
// beside it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/thread_pool.h"
#include "base/topology.h"

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
  // Threads for what the host does beside the device: loading, sampling. One loop at a time.
  virtual ThreadPool& host_threads() = 0;
};

struct DeviceOptions {
  std::string backend;               // a kernel table's name, or empty for the fastest that runs here
  int threads = 0;                   // 0: all that this process may use
  std::optional<Topology> topology;  // if it is not this process's own
};

// Throws kUsage for an unknown backend (listing the known), kUnsupported for one that this processor lacks.
std::unique_ptr<Device> open_device(const DeviceOptions& options);

}  // namespace glimmer

// Collects the named intermediates of a forward pass and writes them to a safetensors file.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "ops/probe.h"

namespace glimmer::apps {

// The metadata key under which a trace keeps its names in order of execution, as a JSON list: the format itself orders
// tensors by type and name.
inline constexpr const char* kTraceOrderKey = "glimmer.order";

// A tensor that is recorded again, as in a prompt that is run in chunks, is appended to along its first dimension
// (tokens).
class Trace final : public Probe {
 public:
  bool wants(std::string_view /*what*/, int64_t /*layer*/) const override { return true; }
  void take(std::string_view what, int64_t layer, ConstTensorView value) override;  // copies
  void write(const std::filesystem::path& path) const;                              // throws kIo

 private:
  struct Entry {
    std::string name;
    DType dtype;
    std::vector<int64_t> dims;
    std::vector<std::byte> bytes;
  };
  std::vector<Entry> entries_;  // in order of execution
};

}  // namespace glimmer::apps

// Memory of a model's weights, and what fills it: each tensor is packed for the kernels once, straight from the files.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "model/model.h"
#include "model/placement.h"
#include "ops/device.h"
#include "ops/linear.h"
#include "source/model_source.h"

namespace glimmer {

// Owns packed matrices and vectors in the memory of a device, and knows which tensors of the source were claimed.
// Packing runs on the device's host threads; on a device of several NUMA nodes panels are distributed over them.
class WeightStore {
 public:
  // The device and the callback are used until end_binding(); the device's memory as long as this lives.
  WeightStore(std::shared_ptr<const ModelSource> source, Device& device, const Model::ProgressCallback& progress);

  const SourceTensor* find(const std::string& name) const { return source_->find(name); }
  const SourceTensor& require(const std::string& name);  // and claims it; throws as ModelSource::require
  void claim(const std::string& name) { claimed_.insert(name); }

  // Rows in their kernel layout.
  LinearWeight pack(const EncodedMatrix& rows);
  // Their transpose as floats: of the file's type if that is a 16-bit float, else f32, so that nothing is rounded.
  LinearWeight pack_transposed(const EncodedMatrix& rows);
  LinearWeight pack_f32(const EncodedMatrix& rows);
  // As pack(), in one piece of memory, so that single rows can be read.
  WeightMatrix pack_whole(const EncodedMatrix& rows);
  // All values, row by row.
  const float* f32(const EncodedMatrix& rows);

  // Drops the tensor's pages of the file after it has been read, and reports progress.
  void report(const SourceTensor& tensor);
  // Lists tensors that nothing claims in one warning. Layers from num_hidden_layers on are for multi-token prediction
  // and skipped, unless they lack its projection: then config.json states too few layers. What other stages hold is
  // theirs to claim.
  void report_unclaimed(const ModelConfig& config, const Placement& placement) const;
  // Throws when the files have changed since they were opened.
  void end_binding();

 private:
  struct Arena {
    std::byte* at = nullptr;
    int64_t left_bytes = 0;
  };
  // Writes packed panels [begin, end) to `out`, on any thread.
  using WritePanels = std::function<void(int64_t begin, int64_t end, std::byte* out)>;

  std::byte* allocate(int64_t size_bytes, int node = 0);
  LinearWeight fill(WeightMatrix matrix, const WritePanels& write);
  std::byte* fill(const WeightMatrix& matrix, PanelRange panels, int node, const WritePanels& write);
  void write_all(const WeightMatrix& matrix, PanelRange panels, std::byte* host, const WritePanels& write);

  std::shared_ptr<const ModelSource> source_;
  Device* device_;  // null once binding has ended
  Memory& memory_;
  const Model::ProgressCallback* progress_;  // the same
  int64_t total_bytes_ = 0;
  int64_t done_bytes_ = 0;
  std::vector<Arena> arenas_;  // of each node
  std::vector<Buffer> buffers_;
  std::deque<NodePanels> node_panels_;
  std::unordered_set<std::string> claimed_;
};

}  // namespace glimmer

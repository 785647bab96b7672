// A loaded model, or one rank's share of it: configuration and weights, immutable.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <vector>

#include "model/config.h"
#include "model/generation_config.h"
#include "model/placement.h"

namespace glimmer {

class Device;
class ModelSource;
struct Weights;
struct Family;

struct LoadProgress {
  int64_t done_bytes = 0;
  int64_t total_bytes = 0;
};

// Sizes of matrices in memory, as kernels read them. Vectors are not counted: they are a few thousandths.
struct WeightBytes {
  int64_t total = 0;
  int64_t every_step = 0;           // read by every step: all but embedding and routed experts
  std::vector<int64_t> one_expert;  // one routed expert of each layer; 0 in dense layers
};

class Model {
 public:
  // Progress callback while weights are read and packed; may throw (kCancelled) to stop loading.
  using ProgressCallback = std::function<void(const LoadProgress&)>;

  // Packs an opened model's weights for the device, in its memory and by its host threads: quantised ones stay
  // quantised. Pages of the files are dropped as they are read; `source` stays alive. Throws an Error that names file,
  // tensor, expected and found. The device must outlive the model unless its memory is the host's.
  static Model load(std::shared_ptr<const ModelSource> source, Device& device, const ProgressCallback& progress = {});
  // The same of one rank's share.
  static Model load(std::shared_ptr<const ModelSource> source, Device& device, Placement placement,
                    const ProgressCallback& progress = {});
  // The same in the host's memory, by all processors.
  static Model load(std::shared_ptr<const ModelSource> source, const ProgressCallback& progress = {});
  // The same of ModelSource::open(path).
  static Model load(const std::filesystem::path& path, const ProgressCallback& progress = {});
  Model(Model&&) noexcept;
  ~Model();

  const ModelConfig& config() const { return config_; }
  const GenerationConfig& generation_config() const { return generation_config_; }
  const Weights& weights() const { return *weights_; }
  const Family& family() const { return *family_; }
  const Placement& placement() const { return placement_; }

  WeightBytes weight_bytes() const;  // of what is loaded here
  // Bytes of weights that one decode step reads: all but the embedding table and the experts that are not chosen.
  int64_t active_weight_bytes() const;

 private:
  Model();
  ModelConfig config_;
  GenerationConfig generation_config_;
  const Family* family_ = nullptr;
  Placement placement_;
  std::unique_ptr<Weights> weights_;
};

}  // namespace glimmer

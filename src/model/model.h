// A loaded model: its configuration and its weights, constant from then on.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <vector>

#include "base/topology.h"
#include "model/config.h"
#include "model/generation_config.h"

namespace glimmer {

class ModelSource;
struct Weights;
struct Family;

struct LoadProgress {
  int64_t done_bytes = 0;
  int64_t total_bytes = 0;
};

// Of matrices in memory, as kernels read them. Vectors are left out: they are some thousandths.
struct WeightBytes {
  int64_t total = 0;
  int64_t every_step = 0;           // what a step reads whatever its tokens: all but embedding and routed experts
  std::vector<int64_t> one_expert;  // of one routed expert, layer by layer; 0 in dense layers
};

class Model {
 public:
  // Called now and then while weights are bound and their pages read; may throw (kCancelled) to stop the load.
  using ProgressCallback = std::function<void(const LoadProgress&)>;

  // Packs an opened model's weights for the kernels: quantised ones stay quantised. Pages of files go as they are read;
  // `source` stays alive. Throws an Error that names file, tensor, expected and found.
  static Model load(std::shared_ptr<const ModelSource> source, const ProgressCallback& progress = {});
  // The same, with matrices shared among the memory nodes of a topology that is not this process's own.
  static Model load(std::shared_ptr<const ModelSource> source, const ProgressCallback& progress,
                    const Topology& topology);
  // The same of ModelSource::open(path).
  static Model load(const std::filesystem::path& path, const ProgressCallback& progress = {});
  Model(Model&&) noexcept;
  ~Model();

  const ModelConfig& config() const { return config_; }
  const GenerationConfig& generation_config() const { return generation_config_; }
  const Weights& weights() const { return *weights_; }
  const Family& family() const { return *family_; }

  WeightBytes weight_bytes() const;
  // Bytes of weights that one decode step reads: all but the embedding table and the experts that are not chosen.
  int64_t active_weight_bytes() const;

 private:
  Model();
  ModelConfig config_;
  GenerationConfig generation_config_;
  const Family* family_ = nullptr;
  std::unique_ptr<Weights> weights_;
};

}  // namespace glimmer

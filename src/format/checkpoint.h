// A model's weights on disk: all named tensors of a model folder, over any number of files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>
#include <vector>

#include "format/tensor_info.h"

namespace glimmer {

class Checkpoint {
 public:
  // Opens (maps) all weight files of `model_dir` and checks them; reads headers, not weights. In this order:
  //   1. model.safetensors.index.json and every shard that its weight_map names
  //   2. model.safetensors
  //   3. the only *.safetensors file of the folder
  // `model_dir` may also be a *.safetensors file itself.
  // Throws kNotFound (no folder, no weights, a missing shard), kIo, and as the files' readers; kInvalid if the index
  // names a file outside the folder, a tensor is not in the shard that the index says, or a tensor is in two shards.
  // Warned about, since published checkpoints have them and the shards' own headers are the truth: a tensor that is in
  // a shard but not in the index (it is opened like the others), and a metadata.total_size that is not the sum.
  static Checkpoint open(const std::filesystem::path& model_dir);

  const TensorInfo* find(std::string_view name) const;     // nullptr if there is none
  const TensorInfo& require(std::string_view name) const;  // throws kNotFound, with the nearest name as a hint

  const std::vector<const TensorInfo*>& tensors() const { return tensors_; }  // ascending names
  const std::vector<std::unique_ptr<TensorFile>>& files() const { return files_; }
  const std::filesystem::path& path() const { return path_; }  // as it was given to open
  uint64_t total_bytes() const { return total_bytes_; }        // of all tensors, without headers

  void advise(Access access) const;  // all files; for one tensor: glimmer::advise(tensor.data, access)

 private:
  explicit Checkpoint(std::filesystem::path path) : path_(std::move(path)) {}
  void add(std::unique_ptr<TensorFile> file);
  void open_shards(const std::filesystem::path& index_path);
  void join();

  std::filesystem::path path_;
  std::vector<std::unique_ptr<TensorFile>> files_;
  std::vector<const TensorInfo*> tensors_;
  uint64_t total_bytes_ = 0;
};

}  // namespace glimmer

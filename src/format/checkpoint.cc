#include "format/checkpoint.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <system_error>

#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mapped_file.h"
#include "format/safetensors.h"

namespace glimmer {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kIndexName = "model.safetensors.index.json";
constexpr std::string_view kSingleName = "model.safetensors";
constexpr size_t kMaxIndexBytes = size_t{256} << 20;  // the largest published GLM's index has 90,000 entries in 9 MB

struct Index {
  std::map<std::string, std::vector<std::string>> tensors_of_shard;  // both in ascending order after load
  std::optional<uint64_t> total_size;
};

// A shard is a file in the model's folder or below it, never one elsewhere on the reader's disk.
void check_shard_name(const std::string& shard, const std::string& tensor, const fs::path& index_path) {
  const fs::path path(shard);
  const bool leaves = std::any_of(path.begin(), path.end(), [](const fs::path& part) { return part == ".."; });
  const bool has_control =
      std::any_of(shard.begin(), shard.end(), [](uint8_t byte) { return byte < 0x20 || byte == 0x7F; });
  if (shard.empty() || path.is_absolute() || leaves || has_control) {
    fail(ErrorCode::kInvalid, "{}: weight_map: tensor {}: expected the name of a file in this folder, found {}",
         index_path.string(), quoted_name(tensor), quoted_name(shard));
  }
  if (path.extension() != ".safetensors") {
    fail(ErrorCode::kUnsupported, "{}: weight_map: tensor {}: expected a .safetensors file, found {}",
         index_path.string(), quoted_name(tensor), quoted_name(shard));
  }
}

std::optional<uint64_t> read_total_size(const Json& root, const fs::path& index_path) {
  const auto metadata = root.find("metadata");
  if (metadata == root.end() || !metadata->is_object()) return std::nullopt;
  const auto total = metadata->find("total_size");
  if (total == metadata->end()) return std::nullopt;
  if (total->is_number_unsigned()) return total->get<uint64_t>();
  // Some writers store the integer as a float.
  if (total->is_number_float() && total->get<double>() >= 0 && total->get<double>() < 9e18) {
    return static_cast<uint64_t>(total->get<double>());
  }
  fail(ErrorCode::kInvalid, "{}: metadata.total_size: expected a number of bytes, found {}", index_path.string(),
       quoted_name(dump_json(*total)));
}

Index read_index(const fs::path& index_path) {
  const Json root = parse_json(read_file(index_path, kMaxIndexBytes), index_path.string());
  const auto weight_map = root.is_object() ? root.find("weight_map") : root.end();
  if (!root.is_object() || weight_map == root.end() || !weight_map->is_object() || weight_map->empty()) {
    fail(ErrorCode::kInvalid, "{}: expected an object with a non-empty \"weight_map\" of tensor name to file name",
         index_path.string());
  }
  Index index;
  for (const auto& [tensor, shard] : weight_map->items()) {
    if (!shard.is_string()) {
      fail(ErrorCode::kInvalid, "{}: weight_map: tensor {}: expected a file name, found {}", index_path.string(),
           quoted_name(tensor), quoted_name(dump_json(shard)));
    }
    auto& tensors = index.tensors_of_shard[shard.get_ref<const std::string&>()];
    if (tensors.empty()) check_shard_name(shard.get_ref<const std::string&>(), tensor, index_path);
    tensors.push_back(tensor);
  }
  for (auto& [shard, tensors] : index.tensors_of_shard) std::sort(tensors.begin(), tensors.end());
  index.total_size = read_total_size(root, index_path);
  return index;
}

// Both lists ascend.
void check_shard(const TensorFile& shard, const std::vector<std::string>& indexed, const fs::path& index_path) {
  const std::span<const TensorInfo> held = shard.tensors();
  std::vector<std::string_view> names;
  names.reserve(held.size());
  for (const TensorInfo& tensor : held) names.push_back(tensor.name);
  std::vector<std::string_view> difference;
  std::set_difference(indexed.begin(), indexed.end(), names.begin(), names.end(), std::back_inserter(difference));
  if (!difference.empty()) {
    fail(ErrorCode::kInvalid, "{}: tensor {} is not in the file, but {} says so ({} of its {} tensors are missing)",
         shard.path().string(), quoted_name(difference.front()), index_path.filename().string(), difference.size(),
         indexed.size());
  }
  std::set_difference(names.begin(), names.end(), indexed.begin(), indexed.end(), std::back_inserter(difference));
  if (!difference.empty()) {
    log_warning("{}: {} tensors are in this file but not in {}, the first is {}", shard.path().string(),
                difference.size(), index_path.filename().string(), quoted_name(difference.front()));
  }
}

[[noreturn]] void fail_without_weights(const fs::path& folder, const std::vector<fs::path>& candidates) {
  if (!candidates.empty()) {
    fail(ErrorCode::kInvalid, "{}: {} .safetensors files ({}, {}, ...) but no {} that says what belongs together",
         folder.string(), candidates.size(), quoted_name(candidates[0].filename().string()),
         quoted_name(candidates[1].filename().string()), kIndexName);
  }
  fail(ErrorCode::kNotFound, "{}: no weights found; looked for {}, {} and a single *.safetensors file", folder.string(),
       kIndexName, kSingleName);
}

std::vector<fs::path> safetensors_files(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    if (at->path().extension() == ".safetensors") found.push_back(at->path());
  }
  if (error) fail(ErrorCode::kIo, "{}: cannot list the folder: {}", folder.string(), error.message());
  std::sort(found.begin(), found.end());
  return found;
}

// How alike two names are: what they share at the front and at the back.
size_t likeness(std::string_view a, std::string_view b) {
  const size_t limit = std::min(a.size(), b.size());
  size_t front = 0;
  while (front < limit && a[front] == b[front]) ++front;
  size_t back = 0;
  while (back < limit - front && a[a.size() - 1 - back] == b[b.size() - 1 - back]) ++back;
  return front + back;
}

}  // namespace

Checkpoint Checkpoint::open(const fs::path& model_dir) {
  Checkpoint checkpoint(model_dir);
  std::error_code error;
  const fs::file_status status = fs::status(model_dir, error);
  if (!fs::exists(status)) {
    fail(ErrorCode::kNotFound, "{}: no such model folder{}{}", model_dir.string(), error ? ": " : "",
         error ? error.message() : "");
  }
  const fs::path index_path = model_dir / kIndexName;
  const fs::path single_path = model_dir / kSingleName;
  if (!fs::is_directory(status)) {
    checkpoint.add(std::make_unique<SafetensorsFile>(model_dir));
  } else if (fs::exists(fs::symlink_status(index_path, error))) {
    checkpoint.open_shards(index_path);
  } else if (fs::exists(fs::symlink_status(single_path, error))) {
    checkpoint.add(std::make_unique<SafetensorsFile>(single_path));
  } else {
    const std::vector<fs::path> candidates = safetensors_files(model_dir);
    if (candidates.size() != 1) fail_without_weights(model_dir, candidates);
    checkpoint.add(std::make_unique<SafetensorsFile>(candidates[0]));
  }
  checkpoint.join();
  return checkpoint;
}

void Checkpoint::add(std::unique_ptr<TensorFile> file) { files_.push_back(std::move(file)); }

void Checkpoint::open_shards(const fs::path& index_path) {
  const Index index = read_index(index_path);
  const fs::path folder = index_path.parent_path();
  std::error_code error;
  if (fs::exists(folder / kSingleName, error) && !index.tensors_of_shard.contains(std::string(kSingleName))) {
    fail(ErrorCode::kInvalid, "{}: holds both {} and a {} that does not name it; move away the one that is not meant",
         folder.string(), kSingleName, kIndexName);
  }
  for (const auto& [shard, tensors] : index.tensors_of_shard) {
    const fs::path path = folder / shard;
    if (!fs::exists(path, error)) {
      fail(ErrorCode::kNotFound, "{}: missing, but {} puts {} tensors into it, the first is {}; download it again",
           path.string(), kIndexName, tensors.size(), quoted_name(tensors.front()));
    }
    add(std::make_unique<SafetensorsFile>(path));
    check_shard(*files_.back(), tensors, index_path);
  }
  uint64_t sum = 0;
  for (const auto& file : files_) {
    for (const TensorInfo& tensor : file->tensors()) sum += tensor.data.size();
  }
  if (index.total_size && *index.total_size != sum) {
    log_warning("{}: metadata.total_size is {} bytes, the tensors are {}", index_path.string(), *index.total_size, sum);
  }
}

void Checkpoint::join() {
  for (const auto& file : files_) {
    for (const TensorInfo& tensor : file->tensors()) {
      tensors_.push_back(&tensor);
      total_bytes_ += tensor.data.size();
    }
  }
  std::stable_sort(tensors_.begin(), tensors_.end(), [](auto* a, auto* b) { return a->name < b->name; });
  const auto twice =
      std::adjacent_find(tensors_.begin(), tensors_.end(), [](auto* a, auto* b) { return a->name == b->name; });
  if (twice != tensors_.end()) {
    fail(ErrorCode::kInvalid, "{}: tensor {} is in two files, {} and {}", path_.string(), quoted_name((*twice)->name),
         (*twice)->file, (*std::next(twice))->file);
  }
  if (tensors_.empty()) fail(ErrorCode::kInvalid, "{}: the weight files hold no tensor", path_.string());
}

const TensorInfo* Checkpoint::find(std::string_view name) const {
  const auto at =
      std::lower_bound(tensors_.begin(), tensors_.end(), name,
                       [](const TensorInfo* tensor, std::string_view wanted) { return tensor->name < wanted; });
  return at != tensors_.end() && (*at)->name == name ? *at : nullptr;
}

const TensorInfo& Checkpoint::require(std::string_view name) const {
  if (const TensorInfo* tensor = find(name)) return *tensor;
  const auto nearest = std::max_element(tensors_.begin(), tensors_.end(), [&](auto* a, auto* b) {
    return likeness(a->name, name) < likeness(b->name, name);
  });
  fail(ErrorCode::kNotFound, "{}: tensor {} is missing; of its {} tensors the nearest is {}", path_.string(),
       quoted_name(name), tensors_.size(), quoted_name((*nearest)->name));
}

void Checkpoint::advise(Access access) const {
  for (const auto& file : files_) glimmer::advise(file->mapped_bytes(), access);
}

}  // namespace glimmer

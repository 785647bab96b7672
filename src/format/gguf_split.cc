// A model in several GGUF files, as llama.cpp's gguf-split writes it: <name>-00001-of-00003.gguf, ..., each with the
// keys split.no (from 0), split.count and split.tensors.count (of the whole model).
#include <algorithm>
#include <utility>

#include "base/error.h"
#include "format/gguf.h"

namespace glimmer {
namespace {

constexpr int64_t kMaxSplits = 99999;  // five digits

struct Split {
  int64_t number = 0;
  int64_t count = 1;
  int64_t tensors = -1;  // of the whole model; -1: not said
};

Split split_of(const GgufFile& file) {
  const GgufMetadata& metadata = file.metadata();
  Split split;
  split.count = metadata.integer("split.count").value_or(1);
  split.number = metadata.integer("split.no").value_or(0);
  split.tensors = metadata.integer("split.tensors.count").value_or(-1);
  if (split.count < 0 || split.count > kMaxSplits) metadata.fail_key("split.count", "0 to 99999");
  if (split.count == 0) split.count = 1;  // llama.cpp's: not split
  if (split.count > 1 && !metadata.has("split.no")) metadata.fail_key("split.no", "a number, as split.count is there");
  if (split.number < 0 || split.number >= split.count) {
    metadata.fail_key("split.no", fmt::format("a number below split.count {}", split.count));
  }
  return split;
}

std::string suffix(int64_t number, int64_t count) { return fmt::format("-{:05}-of-{:05}.gguf", number + 1, count); }

void check_names(const std::vector<std::unique_ptr<GgufFile>>& files) {
  std::vector<const TensorInfo*> all;
  for (const auto& file : files) {
    for (const TensorInfo& tensor : file->tensors()) all.push_back(&tensor);
  }
  std::sort(all.begin(), all.end(), [](auto* a, auto* b) { return a->name < b->name; });
  for (size_t i = 1; i < all.size(); ++i) {
    if (all[i]->name == all[i - 1]->name) {
      fail(ErrorCode::kInvalid, "{}: tensor {} is in {} as well", all[i]->file, quoted_name(all[i]->name),
           all[i - 1]->file);
    }
  }
}

}  // namespace

std::vector<std::unique_ptr<GgufFile>> open_gguf(const std::filesystem::path& path) {
  std::vector<std::unique_ptr<GgufFile>> files;
  files.push_back(std::make_unique<GgufFile>(path));
  const Split opened = split_of(*files[0]);
  if (opened.count == 1) return files;

  const std::string name = path.filename().string();
  const std::string own = suffix(opened.number, opened.count);
  if (!name.ends_with(own)) {
    fail(ErrorCode::kInvalid, "{}: file {} of {} of a split model: expected a name that ends in {}", path.string(),
         opened.number + 1, opened.count, own);
  }
  const std::string stem = name.substr(0, name.size() - own.size());
  std::vector<std::unique_ptr<GgufFile>> all;
  int64_t tensors = 0;
  for (int64_t number = 0; number < opened.count; ++number) {
    all.push_back(number == opened.number
                      ? std::move(files[0])
                      : std::make_unique<GgufFile>(path.parent_path() / (stem + suffix(number, opened.count))));
    const GgufFile& file = *all.back();
    const Split split = split_of(file);
    if (split.count != opened.count || split.number != number || split.tensors != opened.tensors) {
      fail(ErrorCode::kInvalid,
           "{}: split.no {}, split.count {}, split.tensors.count {}: expected {}, {}, {} beside {}",
           file.path().string(), split.number, split.count, split.tensors, number, opened.count, opened.tensors,
           path.string());
    }
    tensors += static_cast<int64_t>(file.tensors().size());
  }
  if (opened.tensors >= 0 && tensors != opened.tensors) {
    fail(ErrorCode::kInvalid, "{}: split.tensors.count is {}, but the {} files have {} tensors", path.string(),
         opened.tensors, opened.count, tensors);
  }
  check_names(all);
  return all;
}

}  // namespace glimmer

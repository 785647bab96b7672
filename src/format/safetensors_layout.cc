#include "format/safetensors_layout.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "base/json.h"
#include "base/quoted_name.h"
#include "base/utf8.h"
#include "format/safetensors.h"

namespace glimmer {
namespace {

constexpr size_t kDataAlignment = 8;
constexpr size_t kLengthBytes = 8;

void check_utf8(std::string_view text) {
  if (!is_valid_utf8(text)) fail(ErrorCode::kInvalid, "{} is not UTF-8", quoted_name(text));
}

std::vector<size_t> in_file_order(std::span<const SafetensorsSpec> tensors) {
  std::vector<size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return tensors[a].name < tensors[b].name; });
  for (size_t i = 0; i < order.size(); ++i) {
    const std::string& name = tensors[order[i]].name;
    check_utf8(name);
    if (name == "__metadata__" || (i > 0 && name == tensors[order[i - 1]].name)) {
      fail(ErrorCode::kInvalid, "tensor {}: the name is {}", quoted_name(name),
           name == "__metadata__" ? "the header's own" : "given twice");
    }
  }
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return dtype_size_bytes(tensors[a].dtype) > dtype_size_bytes(tensors[b].dtype);
  });
  return order;
}

std::string string_of(std::string_view text) { return dump_json(Json(text)); }

}  // namespace

SafetensorsLayout safetensors_layout(std::span<const SafetensorsSpec> tensors,
                                     const std::map<std::string, std::string>& metadata) {
  std::string json = "{";
  if (!metadata.empty()) {
    json += "\"__metadata__\":{";
    for (const auto& [key, value] : metadata) {
      check_utf8(key);
      check_utf8(value);
      json += fmt::format("{}:{},", string_of(key), string_of(value));
    }
    json.back() = '}';
    json += ',';
  }
  SafetensorsLayout layout;
  layout.offsets.resize(tensors.size());
  uint64_t at = 0;
  for (const size_t i : in_file_order(tensors)) {
    const SafetensorsSpec& tensor = tensors[i];
    const uint64_t end = at + tensor.size_bytes();
    json += fmt::format("{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}},", string_of(tensor.name),
                        dtype_name(tensor.dtype), fmt::join(tensor.shape.dims(), ","), at, end);
    layout.offsets[i] = at;
    at = end;
  }
  if (json.back() == ',') json.pop_back();
  json += '}';
  json.resize((json.size() + kDataAlignment - 1) / kDataAlignment * kDataAlignment, ' ');
  if (json.size() > kMaxSafetensorsHeaderBytes) {
    fail(ErrorCode::kLimit, "a header of {} bytes, at most {} are read", json.size(), kMaxSafetensorsHeaderBytes);
  }
  for (size_t i = 0; i < kLengthBytes; ++i) layout.header += static_cast<char>(json.size() >> (8 * i) & 0xFF);
  layout.header += json;
  for (uint64_t& offset : layout.offsets) offset += layout.header.size();
  layout.file_bytes = layout.header.size() + at;
  return layout;
}

std::vector<size_t> split_into_shards(std::span<const uint64_t> units, uint64_t max_bytes) {
  std::vector<size_t> shards;
  size_t shard = 0;
  uint64_t used = 0;
  for (const uint64_t bytes : units) {
    if (used > 0 && used + bytes > max_bytes) {
      ++shard;
      used = 0;
    }
    used += bytes;
    shards.push_back(shard);
  }
  return shards;
}

std::string shard_name(size_t shard, size_t shards) {
  if (shards == 1) return "model.safetensors";
  return fmt::format("model-{:05}-of-{:05}.safetensors", shard + 1, shards);
}

}  // namespace glimmer

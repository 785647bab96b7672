#include "apps/trace.h"

#include <algorithm>

#include "base/json.h"
#include "format/safetensors.h"

namespace glimmer::apps {

void Trace::take(std::string_view what, int64_t layer, ConstTensorView value) {
  const std::string name = intermediate_name(what, layer);
  const auto* begin = static_cast<const std::byte*>(value.data);
  const auto dims = value.shape.dims();
  auto found = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) { return entry.name == name; });
  if (found == entries_.end()) {
    entries_.push_back({name, value.dtype, {dims.begin(), dims.end()}, {begin, begin + value.size_bytes()}});
    return;
  }
  const bool extends = found->dtype == value.dtype && !dims.empty() && found->dims.size() == dims.size() &&
                       std::equal(dims.begin() + 1, dims.end(), found->dims.begin() + 1);
  GLIMMER_CHECK(extends, "{} recorded as {} and then as {}", name, Shape(found->dims).to_string(),
                value.shape.to_string());
  found->dims[0] += dims[0];
  found->bytes.insert(found->bytes.end(), begin, begin + value.size_bytes());
}

void Trace::write(const std::filesystem::path& path) const {
  std::vector<NamedTensor> tensors;
  Json order = Json::array();
  for (const Entry& entry : entries_) {
    tensors.push_back({entry.name, {entry.bytes.data(), entry.dtype, Shape(entry.dims)}});
    order.push_back(entry.name);
  }
  write_safetensors(path, tensors, {{kTraceOrderKey, dump_json(order)}});
}

}  // namespace glimmer::apps

#include "ops/context.h"

#include <array>
#include <span>
#include <vector>

#include "base/error.h"
#include "base/name_table.h"

namespace glimmer {
namespace {

constexpr std::array kPrecisions = {Precision::kFast, Precision::kExact};

struct NamedKvType {
  std::string_view name;
  KvType type;
};
constexpr std::array<NamedKvType, 4> kKvTypes = {
    {{"f32", KvType::kF32}, {"bf16", KvType::kBF16}, {"int8", KvType::kInt8}, {"fp8", KvType::kF8E4M3}}};

}  // namespace

std::string_view kv_type_name(KvType type) {
  for (const NamedKvType& known : kKvTypes) {
    if (known.type == type) return known.name;
  }
  return "";
}

KvType kv_type_by_name(std::string_view name) {
  if (const NamedKvType* found = find_named(kKvTypes, name, &NamedKvType::name)) return found->type;
  fail(ErrorCode::kUsage, "there is no type '{}' of keys and values; known: {}", name,
       list_names(kKvTypes, &NamedKvType::name));
}

std::string_view precision_name(Precision precision) { return precision == Precision::kFast ? "fast" : "exact"; }

Precision precision_by_name(std::string_view name) {
  if (const Precision* found = find_named(kPrecisions, name, precision_name)) return *found;
  fail(ErrorCode::kUsage, "there is no precision '{}'; known: {}", name, list_names(kPrecisions, precision_name));
}

Context::Context(const Options& options)
    : owned_(open_device(options.device_options())),
      device_(owned_.get()),
      group_(&comm::solo()),
      precision_(options.precision),
      kv_type_(options.kept_kv_type()) {}

Context::Context(Device& device, Precision precision, KvType kv_type, comm::Group& group)
    : device_(&device), group_(&group), precision_(precision), kv_type_(kv_type) {}

std::string intermediate_name(std::string_view what, int64_t layer) {
  if (layer < 0) return std::string(what);
  return what.empty() ? fmt::format("layers.{}", layer) : fmt::format("layers.{}.{}", layer, what);
}

void Context::record(std::string_view what, int64_t layer, ConstTensorView value) {
  if (!wants(what, layer)) return;
  const Memory& memory = device_->memory();
  if (memory.is_host()) return probe_->take(what, layer, value);
  std::vector<std::byte> copy(value.size_bytes());
  memory.read(static_cast<const std::byte*>(value.data), copy);
  probe_->take(what, layer, {copy.data(), value.dtype, value.shape});
}

void Context::record_input(const LinearInput& input) {
  if (input.tokens == 0 || !wants_input(input.name)) return;
  const Memory& memory = device_->memory();
  if (memory.is_host()) return probe_->take_input(input);
  std::vector<float> copy(static_cast<size_t>((input.tokens - 1) * input.x_stride + input.columns));
  memory.read(reinterpret_cast<const std::byte*>(input.x), std::as_writable_bytes(std::span(copy)));
  LinearInput on_host = input;
  on_host.x = copy.data();
  probe_->take_input(on_host);
}

}  // namespace glimmer

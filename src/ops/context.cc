#include "ops/context.h"

#include <array>

#include "base/error.h"

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
  std::string names;
  for (const NamedKvType& known : kKvTypes) {
    if (known.name == name) return known.type;
    names.append(names.empty() ? "" : ", ").append(known.name);
  }
  fail(ErrorCode::kUsage, "there is no type '{}' of keys and values; known: {}", name, names);
}

std::string_view precision_name(Precision precision) { return precision == Precision::kFast ? "fast" : "exact"; }

Precision precision_by_name(std::string_view name) {
  std::string known;
  for (const Precision precision : kPrecisions) {
    if (precision_name(precision) == name) return precision;
    known.append(known.empty() ? "" : ", ").append(precision_name(precision));
  }
  fail(ErrorCode::kUsage, "there is no precision '{}'; known: {}", name, known);
}

Context::Context(const Options& options)
    : kernels_(options.backend.empty() ? kernels::best_table() : kernels::table_by_name(options.backend)),
      precision_(options.precision),
      kv_type_(options.kept_kv_type()),
      pool_(options.threads > 0 ? options.threads : available_threads(),
            options.topology ? *options.topology : process_topology()),
      scratch_(static_cast<size_t>(pool_.threads())) {}

void Context::reserve_scratch(int64_t count) {
  const size_t wanted_bytes = static_cast<size_t>(count) * sizeof(float);
  if (scratch_.back().size_bytes() >= wanted_bytes) return;  // the last to be made
  for (Buffer& buffer : scratch_) buffer = Buffer(wanted_bytes * 2);
}

std::byte* Context::shared_scratch(int64_t size_bytes) {
  const auto wanted_bytes = static_cast<size_t>(size_bytes);
  if (shared_scratch_.size_bytes() < wanted_bytes) {
    shared_scratch_ = {};  // the old one goes before the new one comes
    shared_scratch_ = Buffer(wanted_bytes * 2);
  }
  return shared_scratch_.as<std::byte>();
}

}  // namespace glimmer

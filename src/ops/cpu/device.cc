#include "ops/cpu/device.h"

#include "base/check.h"
#include "ops/cpu/op_bodies.h"

namespace glimmer {

std::unique_ptr<Device> open_device(const DeviceOptions& options) { return std::make_unique<cpu::CpuDevice>(options); }

}  // namespace glimmer

namespace glimmer::cpu {
namespace {

constexpr OpTable kOps = {
    .embed = embed,
    .gather_rows = gather_rows,
    .gather_columns = gather_columns,
    .rms_norm = rms_norm,
    .add = add,
    .linear = linear,
    .fill_rope = fill_rope,
    .rope = rope,
    .store_kv = store_kv,
    .attention = attention,
    .mla = mla,
    .mlps = mlps,
    .route = route,
    .moe = moe,
};

}  // namespace

CpuDevice::CpuDevice(const DeviceOptions& options)
    : kernels_(options.backend.empty() ? kernels::best_table() : kernels::table_by_name(options.backend)),
      topology_(options.topology ? *options.topology : process_topology()),
      pool_(options.threads > 0 ? options.threads : available_threads(), topology_),
      scratch_(static_cast<size_t>(pool_.threads())) {}

const OpTable& CpuDevice::ops() const { return kOps; }

void CpuDevice::reserve_scratch(int64_t count) {
  const size_t wanted_bytes = static_cast<size_t>(count) * sizeof(float);
  if (scratch_.back().size_bytes() >= wanted_bytes) return;  // the last to be made
  for (Buffer& buffer : scratch_) buffer = Buffer(wanted_bytes * 2);
}

std::byte* CpuDevice::shared_scratch(int64_t size_bytes) {
  if (shared_scratch_.size_bytes() < static_cast<size_t>(size_bytes)) at_least(shared_scratch_, size_bytes * 2);
  return shared_scratch_.as<std::byte>();
}

std::byte* at_least(Buffer& buffer, int64_t size_bytes) {
  if (buffer.size_bytes() < static_cast<size_t>(size_bytes)) {
    buffer = {};  // the old one goes before the new one comes
    buffer = Buffer(static_cast<size_t>(size_bytes));
  }
  return buffer.as<std::byte>();
}

Pass::Pass(Context& context) : context_(context), device_(dynamic_cast<CpuDevice&>(context.device())) {}

}  // namespace glimmer::cpu

#include "ops/context.h"

namespace glimmer {

Context::Context(const Options& options)
    : kernels_(options.backend.empty() ? kernels::best_table() : kernels::table_by_name(options.backend)),
      pool_(options.threads > 0 ? options.threads : available_threads()),
      scratch_(static_cast<size_t>(pool_.threads())) {}

float* Context::scratch(int worker, int64_t count) {
  Buffer& buffer = scratch_[static_cast<size_t>(worker)];
  const size_t wanted_bytes = static_cast<size_t>(count) * sizeof(float);
  if (buffer.size_bytes() < wanted_bytes) buffer = Buffer(wanted_bytes * 2);
  return buffer.as<float>();
}

}  // namespace glimmer

#include "ops/context.h"

namespace glimmer {

Context::Context(const Options& options)
    : kernels_(options.backend.empty() ? kernels::best_table() : kernels::table_by_name(options.backend)),
      pool_(options.threads > 0 ? options.threads : available_threads()),
      scratch_(static_cast<size_t>(pool_.threads())) {}

void Context::reserve_scratch(int64_t count) {
  const size_t wanted_bytes = static_cast<size_t>(count) * sizeof(float);
  if (scratch_.front().size_bytes() >= wanted_bytes) return;
  for (Buffer& buffer : scratch_) buffer = Buffer(wanted_bytes * 2);
}

}  // namespace glimmer

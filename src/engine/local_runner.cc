#include "engine/local_runner.h"

namespace glimmer {

LocalRunner::LocalRunner(const Model& model, Context& context, int64_t chunk_tokens)
    : context_(context), forward_(model, context, chunk_tokens) {}

}  // namespace glimmer

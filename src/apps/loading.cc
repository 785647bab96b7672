#include "apps/loading.h"

#include <fmt/ranges.h>

#include <chrono>
#include <cstdio>

#include "apps/terminal.h"
#include "base/error.h"

namespace glimmer::apps {

Model load_model(const std::filesystem::path& path, Context& context, LoadReport report,
                 const InterruptGuard* interrupt) {
  return load_model(ModelSource::open(path), context, report, interrupt);
}

Model load_model(std::shared_ptr<const ModelSource> source, Context& context, LoadReport report,
                 const InterruptGuard* interrupt) {
  const std::string name = source->path().string();
  const bool shown = report == LoadReport::kShown;
  const auto start = std::chrono::steady_clock::now();
  int64_t total_bytes = 0;
  Model model = [&] {
    ProgressBar bar("loading " + name, shown && stderr_is_terminal());
    return Model::load(std::move(source), context.device(), [&](const LoadProgress& progress) {
      if (interrupt != nullptr && interrupt->interrupted()) fail(ErrorCode::kCancelled, "interrupted while loading");
      total_bytes = progress.total_bytes;
      bar.update(progress.done_bytes, progress.total_bytes);
    });
  }();
  const ModelConfig& config = model.config();
  if (shown && !config.defaults_taken.empty()) {
    tell("glimmer: {} leaves out some fields; using the defaults of transformers: {}\n", config.source,
         fmt::join(config.defaults_taken, ", "));
  }
  if (shown && !stderr_is_terminal()) {
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    tell("glimmer: loaded {} ({}, {}) in {:.2f} s; {} kernels, {} threads\n", name, config.model_type,
         human_bytes(total_bytes), seconds.count(), context.device().backend(), context.pool().threads());
  }
  return model;
}

}  // namespace glimmer::apps

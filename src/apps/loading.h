// Opens a model, with a progress bar.
#pragma once

#include <filesystem>
#include <memory>

#include "apps/interrupt.h"
#include "model/model.h"
#include "ops/context.h"
#include "source/model_source.h"

namespace glimmer::apps {

enum class LoadReport { kShown, kQuiet };

// Loads the model for the context's device, which must outlive it: a progress bar on a terminal, else one line when
// done; kQuiet shows neither. Throws as Model::load, and kCancelled when `interrupt` (may be null) comes meanwhile.
Model load_model(std::shared_ptr<const ModelSource> source, Context& context, LoadReport report,
                 const InterruptGuard* interrupt = nullptr);
// The same of ModelSource::open(path).
Model load_model(const std::filesystem::path& path, Context& context, LoadReport report,
                 const InterruptGuard* interrupt = nullptr);

}  // namespace glimmer::apps

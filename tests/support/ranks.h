// One model on several ranks, which are threads of this process.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <span>

#include "comm/threads.h"
#include "engine/group_runner.h"
#include "model/placement.h"
#include "source/model_source.h"
#include "source/side_files.h"

namespace glimmer::testing {

struct RanksOptions {
  ParallelForm form;
  std::vector<double> split;  // weights of the ranks; empty: all alike
  Precision precision = Precision::kFast;
  std::string backend;
  // Opens a rank's device; null: the host's, with one thread.
  std::function<std::unique_ptr<Device>()> open;
};

// Runs body(runner) on rank 0 of a model that the ranks load from `path`.
inline void with_ranks(const std::filesystem::path& path, const RanksOptions& options,
                       const std::function<void(std::unique_ptr<Runner>)>& body) {
  const ModelConfig config = read_config(side_files_of(*ModelSource::open(path)));
  const std::vector<Placement> placements = place(config, options.form, options.split);
  comm::run_ranks(options.form.ranks(), [&](comm::Group& world) {
    const Placement& placement = placements[static_cast<size_t>(world.rank())];
    const std::unique_ptr<comm::Group> stage = world.split(placement.stage());
    const std::unique_ptr<Device> device =
        options.open ? options.open() : open_device({.backend = options.backend, .threads = 1});
    Context context(*device, options.precision, kv_type_of(options.precision), *stage);
    const Model model = Model::load(ModelSource::open(path), *device, placement);
    if (world.rank() > 0) {
      follow(model, context, world);
      return;
    }
    body(std::make_unique<GroupRunner>(model, context, world));
  });
}

}  // namespace glimmer::testing

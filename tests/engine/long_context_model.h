// A tiny random model of the fixtures with a context of several pages of keys and values, on a device of the host or on
// one whose memory the host cannot touch.
#pragma once

#include <array>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>
#include <string>

#include "engine/generate.h"
#include "engine/local_runner.h"
#include "model/model.h"
#include "source/model_source.h"
#include "support/fenced_device.h"
#include "support/paths.h"
#include "support/temp_dir.h"

namespace glimmer::testing {

class LongContextModel {
 public:
  static constexpr int64_t kContext = 4096;

  enum class On { kHost, kFenced };

  explicit LongContextModel(const std::string& fixture, std::optional<KvType> kv_type = std::nullopt, On on = On::kHost)
      : devices_(open_devices(on)),
        context(*devices_[0], Precision::kFast, kv_type.value_or(kv_type_of(Precision::kFast))),
        own_context_(*devices_[1], Precision::kFast, context.kv_type()),
        model(load(fixture)) {}

  const std::filesystem::path& path() const { return folder_.path(); }

  // Not a multiple of anything, and different for each seed.
  std::vector<int32_t> prompt(int64_t tokens, uint64_t seed) const {
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < tokens; ++i) {
      seed = seed * 6364136223846793005U + 1442695040888963407U;
      ids.push_back(static_cast<int32_t>((seed >> 33) % static_cast<uint64_t>(model.config().vocab_size)));
    }
    return ids;
  }

  // What the model says to a prompt by itself, beside the engine, which may be running.
  std::vector<int32_t> expected(const std::vector<int32_t>& prompt, const GenerationOptions& options) {
    LocalRunner runner(model, own_context_, 512);
    Sequence sequence(runner);
    sequence.start(prompt, options);
    Generator(runner).run(sequence);
    return {sequence.generated().begin(), sequence.generated().end()};
  }

 private:
  static std::array<std::unique_ptr<Device>, 2> open_devices(On on) {
    if (on == On::kHost) return {open_device({.threads = 2}), open_device({.threads = 1})};
    auto first = std::make_unique<FencedDevice>(DeviceOptions{.threads = 2});
    auto second = std::make_unique<FencedDevice>(DeviceOptions{.threads = 1}, first->shared_memory());
    return {std::move(first), std::move(second)};
  }

  std::array<std::unique_ptr<Device>, 2> devices_;  // on one memory: of `context`, and of expected()

 public:
  Context context;

 private:
  Model load(const std::string& fixture) {
    namespace fs = std::filesystem;
    for (const fs::directory_entry& file : fs::directory_iterator(source_dir() / "tests/fixtures" / fixture)) {
      if (file.path().filename() != "config.json") fs::copy(file.path(), folder_.path() / file.path().filename());
    }
    std::ifstream in(source_dir() / "tests/fixtures" / fixture / "config.json");
    std::stringstream config;
    config << in.rdbuf();
    const std::regex field("\"max_position_embeddings\": *[0-9]+");
    folder_.write("config.json",
                  std::regex_replace(config.str(), field, "\"max_position_embeddings\": " + std::to_string(kContext)));
    return Model::load(ModelSource::open(folder_.path()), context.device());
  }

  TempDir folder_;
  Context own_context_;

 public:
  Model model;
};

}  // namespace glimmer::testing

// Groups of flags that several subcommands share, and their resolution.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "apps/flags.h"
#include "engine/sampling_options.h"
#include "ops/context.h"

namespace glimmer::apps {

// -m/--model: whatever ModelSource::open opens. Absent, it is the demo model: $GLIMMER_DEMO_MODEL, else models/demo
// beside the tree that the binary was built in, else models/demo in the current folder.
struct ModelFlags {
  std::optional<std::string> model;

  void add(Flags& flags);
  // It exists. Throws kNotFound; for the demo the message lists where it was looked for.
  std::filesystem::path folder_or_file() const;
};

// --backend, -t/--threads and, where a command lets one choose, --precision and --kv-type.
struct RuntimeFlags {
  std::string backend;
  int64_t threads = 0;
  std::string precision = "fast";
  std::optional<std::string> kv_type;

  void add(Flags& flags);
  void add_precision(Flags& flags, Precision by_default);
  Context::Options context_options() const;  // throws kUsage
};

// How to sample. A flag that is not given is as the model's makers mean it (engine/sampling_defaults.h).
struct SamplingFlags {
  struct Given {
    std::optional<double> number;
    std::optional<int64_t> integer;
  };

  bool greedy = false;
  std::vector<Given> given = std::vector<Given>(sampling_options().size());  // of each of sampling_options()
  std::vector<std::string> logit_bias;                                       // ID=VALUE
  std::optional<uint64_t> seed;

  void add(Flags& flags);
  // Draws a seed from the system if none is given. Throws kUsage.
  SamplingParams resolve(const SamplingDefaults& defaults, int64_t vocab_size) const;
};

// Of --raw-output: allow_raw_output().
inline constexpr const char* kRawOutputHelp =
    "Pass control characters in the answer to the terminal instead of escaping them";

// -n, --ignore-eos, --stop.
struct LengthFlags {
  std::optional<int64_t> max_tokens;
  bool ignore_eos = false;
  std::vector<std::string> stop;

  void add(Flags& flags);
  void check() const;  // throws kUsage
};

// "1,2,3" (commas, spaces or both) as token ids. Throws kUsage naming the place.
std::vector<int32_t> parse_ids(const std::string& text, const std::string& what);

}  // namespace glimmer::apps

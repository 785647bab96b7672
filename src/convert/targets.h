// The targets of this folder, for targets.cc. Each is a file of its name.
#pragma once

#include "convert/target.h"

namespace glimmer::convert {

extern const Target kGgufTarget;    // target_gguf.cc
extern const Target kHfTarget;      // target_hf.cc
extern const Target kMlxTarget;     // target_mlx.cc
extern const Target kDllamaTarget;  // target_dllama.cc

}  // namespace glimmer::convert

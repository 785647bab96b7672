// A folder of Hugging Face's: config.json, tokenizer files and safetensors, plain or quantised (MLX's folders too).
#pragma once

#include "source/model_source.h"

namespace glimmer {

// `path`: the folder, or a *.safetensors file beside a config.json. Throws as ModelSource::open.
std::unique_ptr<ModelSource> open_hf(const std::filesystem::path& path);

}  // namespace glimmer

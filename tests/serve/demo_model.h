// The tokenizer and the template of models/demo, without its weights.
#pragma once

#include "model/config.h"
#include "serve/served_model.h"
#include "support/paths.h"

namespace glimmer::serve {

inline const ServedModel& demo_model() {
  static const ServedModel model = [] {
    const auto folder = testing::source_dir() / "models/demo";
    const ModelConfig config = read_config(folder / "config.json");
    ServedModel::Parts parts{
        .id = "demo",
        .chat = ChatModel({.tokenizer = Tokenizer::from_file(folder), .chat_template = ChatTemplate::load(folder)})};
    const GenerationConfig generation = read_generation_config(folder, config);
    parts.sampling = sampling_defaults(generation, config, "demo");
    parts.stop_ids = generation.eos_token_id;
    parts.vocab_size = config.vocab_size;
    parts.max_context_tokens = config.max_position_embeddings;
    parts.created = 1700000000;
    return ServedModel(std::move(parts));
  }();
  return model;
}

}  // namespace glimmer::serve

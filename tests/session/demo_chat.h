// The tokenizer and the template of models/demo, without its weights.
#pragma once

#include "session/chat_model.h"
#include "support/paths.h"

namespace glimmer {

inline const ChatModel& demo_chat() {
  static const ChatModel model({.tokenizer = Tokenizer::from_file(testing::source_dir() / "models/demo"),
                                .chat_template = ChatTemplate::load(testing::source_dir() / "models/demo")});
  return model;
}

}  // namespace glimmer

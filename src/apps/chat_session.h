// A conversation: its messages, and the model that answers them.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "apps/answer_stream.h"
#include "apps/options.h"
#include "apps/prompt.h"
#include "session/chat_model.h"

namespace glimmer::apps {

struct ChatSettings {
  GenerationOptions generation;
  std::vector<std::string> stop;
  TemplateFlags template_flags;
  ShownReasoning reasoning = ShownReasoning::kHidden;
};

class ChatSession {
 public:
  // All must outlive the session.
  ChatSession(Runner& runner, const ChatModel& model, ChatSettings settings);

  // Adds the user's message, and the model's answer as it is made. The part of the conversation that the last turn left
  // in the KV cache is not run again. Ctrl-C ends the answer; what there is of it stays in the conversation.
  // When it throws (the context is full, the template refuses), the conversation is as it was.
  void answer(const std::string& user_text);

  void set_system(const std::string& text);  // empty: none
  void set_thinking(bool enabled);           // enable_thinking of the template
  void reset();                              // forgets all messages, but not the system message

  // Writes {"messages": [...]}, as `render` and the field's APIs read it. Throws kIo.
  void save(const std::filesystem::path& path) const;

  // Of the last answer: tokens and speed.
  const std::string& statistics() const { return statistics_; }
  bool context_full() const { return sequence_.context_full(); }

 private:
  std::vector<ChatMessage> messages_with_system() const;
  void generate(PreparedPrompt prompt);

  Runner& runner_;
  const ChatModel& model_;
  ChatSettings settings_;
  Sequence sequence_;
  std::string system_;
  std::optional<bool> thinking_;
  std::vector<ChatMessage> messages_;
  std::string statistics_;
};

}  // namespace glimmer::apps

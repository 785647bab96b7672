// What a model is to those who speak with it: conversations and texts in, token ids out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "session/conversation.h"
#include "session/guarded_text.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"
#include "text/tool_call_format.h"
#include "text/tool_turns.h"

namespace glimmer {

struct PreparedPrompt {
  std::string text;  // empty for a prompt that came as ids
  std::vector<int32_t> ids;
  bool opens_reasoning = false;      // what the model writes begins inside reasoning
  bool continues_text = false;       // ... and goes on with a text that the client has begun
  std::vector<std::string> remarks;  // for the log
};

// What an answer that was begun ends with: reasoning, or the answer's own text.
struct BegunSection {
  bool reasoning = false;
  std::string text;
};

// Immutable, for any number of threads.
class ChatModel {
 public:
  struct Parts {
    Tokenizer tokenizer;
    std::optional<ChatTemplate> chat_template = {};  // absent: it goes on with texts only
  };
  explicit ChatModel(Parts parts);

  const Tokenizer& tokenizer() const { return parts_.tokenizer; }
  const std::optional<ChatTemplate>& chat_template() const { return parts_.chat_template; }
  ToolCallFormat tool_call_format() const { return tool_call_format_; }

  // The conversation as its template writes it, with the beginning of the answer. What the messages, tools and template
  // arguments hold cannot become a control token (guarded_text.h). Results of tools are put in the order of their calls
  // (tool_results.h). Where the answer continues the last message, the prompt ends with what the template writes of
  // that message's text, or of its reasoning if it has nothing else; white space at its end is there if the template
  // keeps it. Throws kUnsupported when there is no template, kInvalid when it refuses the conversation.
  PreparedPrompt prepare(const Chat& chat) const;
  // With a suffix, as a gap between texts, by the tokens that GLM has for code; both are read as text then. Throws
  // kUnsupported where the tokenizer lacks these tokens: fills_gaps() says so before.
  PreparedPrompt prepare(const RawPrompt& prompt, const std::string& suffix = {}) const;

  bool fills_gaps() const;

 private:
  PreparedPrompt prepare_gap(const RawPrompt& prompt, const std::string& suffix) const;
  Json template_message(const ChatMessage& message) const;
  std::string render(const Json& inputs) const;
  std::string render_up_to(const Json& inputs, const std::string& field) const;
  std::string render_begun(const Json& inputs, BegunSection& section) const;

  Parts parts_;
  TextGuard guard_;
  ToolCallFormat tool_call_format_ = ToolCallFormat::kNone;
  ToolTurns tool_turns_;
};

}  // namespace glimmer

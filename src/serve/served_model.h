// The model as the APIs see it: text in, token ids out, and its default sampling.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/sampling_defaults.h"
#include "serve/answer.h"
#include "serve/generation_job.h"
#include "serve/guarded_text.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"
#include "text/tool_call_format.h"
#include "text/tool_turns.h"

namespace glimmer::serve {

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
class ServedModel {
 public:
  struct Parts {
    std::string id;  // what /v1/models calls it
    Tokenizer tokenizer;
    std::optional<ChatTemplate> chat_template = {};  // absent: completions only
    SamplingDefaults sampling = {};
    std::vector<int32_t> stop_ids = {};  // that end a turn
    int64_t vocab_size = 0;
    int64_t max_context_tokens = 0;  // Engine::max_context_tokens()
    int64_t created = 0;             // Unix time in seconds
  };
  explicit ServedModel(Parts parts);

  const std::string& id() const { return parts_.id; }
  const Tokenizer& tokenizer() const { return parts_.tokenizer; }
  const std::optional<ChatTemplate>& chat_template() const { return parts_.chat_template; }
  ToolCallFormat tool_call_format() const { return tool_call_format_; }
  const std::vector<int32_t>& stop_ids() const { return parts_.stop_ids; }
  int64_t vocab_size() const { return parts_.vocab_size; }
  int64_t max_context_tokens() const { return parts_.max_context_tokens; }
  int64_t created() const { return parts_.created; }

  // The conversation as its template writes it, with the beginning of the answer. What the messages, tools and template
  // arguments hold cannot become a control token (guarded_text.h). Results of tools are put in the order of their calls
  // (tool_results.h). Where the answer continues the last message, the prompt ends with what the template writes of
  // that message's text, or of its reasoning if it has nothing else; white space at its end is there if the template
  // keeps it. Throws ApiError 400 when there is no template or it refuses the conversation.
  PreparedPrompt prepare(const Chat& chat) const;
  // With a suffix, as a gap between texts, by the tokens that GLM has for code; both are read as text then. Throws
  // ApiError 400 where the tokenizer lacks these tokens.
  PreparedPrompt prepare(const RawPrompt& prompt, const std::string& suffix = {}) const;

  // A token and its logprobs as an answer has them.
  TokenRecord record_of(const GeneratedToken& token) const;

  // `index` of several answers. A top_p of 0, which the APIs allow, leaves only the likeliest token.
  SamplingParams sampling(const SamplingRequest& request, int64_t index) const;

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

// For answers whose request gives no seed.
uint64_t random_seed();

// "chatcmpl-" and the like, with 24 random characters behind it.
std::string random_id(std::string_view prefix);

}  // namespace glimmer::serve

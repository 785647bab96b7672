// The model as the APIs see it: what a ChatModel is, by a name, with its default sampling and its limits.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/sampling_defaults.h"
#include "serve/generation_job.h"
#include "session/chat_model.h"

namespace glimmer::serve {

// Immutable, for any number of threads.
class ServedModel {
 public:
  struct Parts {
    std::string id;  // what /v1/models calls it
    ChatModel chat;  // without a template: completions only
    SamplingDefaults sampling = {};
    std::vector<int32_t> stop_ids = {};  // that end a turn
    int64_t vocab_size = 0;
    int64_t max_context_tokens = 0;  // Engine::max_context_tokens()
    int64_t created = 0;             // Unix time in seconds
  };
  explicit ServedModel(Parts parts) : parts_(std::move(parts)) {}

  const std::string& id() const { return parts_.id; }
  const Tokenizer& tokenizer() const { return parts_.chat.tokenizer(); }
  const std::optional<ChatTemplate>& chat_template() const { return parts_.chat.chat_template(); }
  ToolCallFormat tool_call_format() const { return parts_.chat.tool_call_format(); }
  const std::vector<int32_t>& stop_ids() const { return parts_.stop_ids; }
  int64_t vocab_size() const { return parts_.vocab_size; }
  int64_t max_context_tokens() const { return parts_.max_context_tokens; }
  int64_t created() const { return parts_.created; }

  // As ChatModel's; throw ApiError 400, which names the field, where the model cannot do what is asked.
  PreparedPrompt prepare(const Chat& chat) const;
  PreparedPrompt prepare(const RawPrompt& prompt, const std::string& suffix = {}) const;

  // `index` of several answers. A top_p of 0, which the APIs allow, leaves only the likeliest token.
  SamplingParams sampling(const SamplingRequest& request, int64_t index) const;

 private:
  Parts parts_;
};

}  // namespace glimmer::serve

#include "apps/chat_session.h"

#include <cerrno>
#include <cstring>
#include <fstream>

#include "apps/interrupt.h"
#include "base/error.h"

namespace glimmer::apps {

ChatSession::ChatSession(Runner& runner, const Tokenizer& tokenizer, const ChatTemplate& chat_template,
                         ChatSettings settings)
    : runner_(runner),
      tokenizer_(tokenizer),
      chat_template_(chat_template),
      settings_(std::move(settings)),
      sequence_(runner.config(), runner.kv_type()) {}

void ChatSession::set_system(const std::string& text) { system_ = text; }
void ChatSession::set_thinking(bool enabled) { thinking_ = enabled; }
void ChatSession::reset() { messages_.clear(); }

Json ChatSession::messages_with_system() const {
  Json messages = Json::array();
  if (!system_.empty()) messages.push_back({{"role", "system"}, {"content", system_}});
  for (const Json& message : messages_) messages.push_back(message);
  return messages;
}

void ChatSession::answer(const std::string& user_text) {
  const size_t count = messages_.size();
  messages_.push_back({{"role", "user"}, {"content", user_text}});
  try {
    Json inputs = {{"messages", messages_with_system()}, {"add_generation_prompt", true}};
    settings_.template_flags.apply(inputs);
    if (thinking_) inputs["enable_thinking"] = *thinking_;
    generate(chat_template_.render(inputs));
  } catch (...) {
    messages_.erase(messages_.begin() + static_cast<ptrdiff_t>(count), messages_.end());
    throw;
  }
}

void ChatSession::generate(const std::string& prompt) {
  ++settings_.generation.sampling.seed;  // another draw each turn, the same ones for the same conversation and seed
  sequence_.start(tokenizer_.encode(prompt, {.add_special_tokens = false}), settings_.generation);
  AnswerStream stream(&tokenizer_, {.style = AnswerStyle::kForReading,
                                    .reasoning = settings_.reasoning,
                                    .output = {.starts_in_reasoning = prompt_opens_reasoning(prompt)},
                                    .stop = settings_.stop});
  const InterruptGuard interrupt;
  Generator generator(runner_, &interrupt.flag());
  const GenerationTimings timings = generator.run(sequence_, [&](int32_t id) { return stream.take(id); });
  stream.finish(*sequence_.finish_reason());
  const bool cancelled = sequence_.finish_reason() == FinishReason::kCancelled;
  statistics_ = (cancelled ? "interrupted: " : "") + statistics_line(sequence_, timings);
  Json message = {{"role", "assistant"}, {"content", stream.parsed().content}};
  if (!stream.parsed().reasoning.empty()) message["reasoning_content"] = stream.parsed().reasoning;
  messages_.push_back(std::move(message));
}

void ChatSession::save(const std::filesystem::path& path) const {
  std::ofstream file(path);
  file << dump_json({{"messages", messages_with_system()}}) << '\n';
  file.close();
  if (!file) fail(ErrorCode::kIo, "cannot write {}: {}", path.string(), std::strerror(errno));
}

}  // namespace glimmer::apps

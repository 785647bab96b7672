#include "apps/chat_session.h"

#include <cerrno>
#include <cstring>
#include <fstream>

#include "apps/interrupt.h"
#include "base/error.h"

namespace glimmer::apps {

ChatSession::ChatSession(Runner& runner, const ChatModel& model, ChatSettings settings)
    : runner_(runner), model_(model), settings_(std::move(settings)), sequence_(runner) {}

void ChatSession::set_system(const std::string& text) { system_ = text; }
void ChatSession::set_thinking(bool enabled) { thinking_ = enabled; }
void ChatSession::reset() { messages_.clear(); }

std::vector<ChatMessage> ChatSession::messages_with_system() const {
  std::vector<ChatMessage> messages;
  if (!system_.empty()) messages.push_back({.role = ChatMessage::Role::kSystem, .content = system_});
  messages.insert(messages.end(), messages_.begin(), messages_.end());
  return messages;
}

void ChatSession::answer(const std::string& user_text) {
  const size_t count = messages_.size();
  messages_.push_back({.role = ChatMessage::Role::kUser, .content = user_text});
  try {
    Chat chat{.messages = messages_with_system()};
    settings_.template_flags.apply(chat.template_args);
    if (thinking_) chat.template_args["enable_thinking"] = *thinking_;
    generate(model_.prepare(chat));
  } catch (...) {
    messages_.resize(count);
    throw;
  }
}

void ChatSession::generate(PreparedPrompt prompt) {
  ++settings_.generation.sampling.seed;  // another draw each turn, the same ones for the same conversation and seed
  sequence_.start(std::move(prompt.ids), settings_.generation);
  AnswerStream stream(&model_.tokenizer(),
                      {.style = AnswerStyle::kForReading,
                       .reasoning = settings_.reasoning,
                       .output = OutputParserOptions{.starts_in_reasoning = prompt.opens_reasoning},
                       .stop = settings_.stop});
  const InterruptGuard interrupt;
  Generator generator(runner_, &interrupt.flag());
  const GenerationTimings timings = generator.run(sequence_, [&](int32_t id) { return stream.take(id); });
  stream.finish(*sequence_.finish_reason());
  const bool cancelled = sequence_.finish_reason() == FinishReason::kCancelled;
  statistics_ = (cancelled ? "interrupted: " : "") + statistics_line(sequence_, timings);
  ChatMessage message{.role = ChatMessage::Role::kAssistant, .content = stream.answer().text(DeltaKind::kContent)};
  const std::string reasoning = stream.answer().text(DeltaKind::kReasoning);
  if (!reasoning.empty()) message.reasoning = reasoning;
  messages_.push_back(std::move(message));
}

void ChatSession::save(const std::filesystem::path& path) const {
  Json messages = Json::array();
  for (const ChatMessage& message : messages_with_system()) {
    Json out = {{"role", role_name(message.role)}, {"content", message.content}};
    if (message.reasoning) out["reasoning_content"] = *message.reasoning;
    messages.push_back(std::move(out));
  }
  std::ofstream file(path);
  file << dump_json({{"messages", std::move(messages)}}) << '\n';
  file.close();
  if (!file) fail(ErrorCode::kIo, "cannot write {}: {}", path.string(), std::strerror(errno));
}

}  // namespace glimmer::apps

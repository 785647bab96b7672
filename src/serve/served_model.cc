#include "serve/served_model.h"

#include <algorithm>
#include <random>

#include "base/error.h"
#include "serve/api_error.h"

namespace glimmer {
namespace {

constexpr std::string_view kReasoningTags[] = {"<think>", "</think>"};

std::string_view role_name(ChatMessage::Role role) {
  switch (role) {
    case ChatMessage::Role::kSystem:
      return "system";
    case ChatMessage::Role::kUser:
      return "user";
    case ChatMessage::Role::kAssistant:
      return "assistant";
    case ChatMessage::Role::kTool:
      return "tool";
  }
  return "";
}

std::mt19937_64& random_source() {
  thread_local std::mt19937_64 source = [] {
    std::random_device device;
    std::seed_seq seed{device(), device(), device(), device()};
    return std::mt19937_64(seed);
  }();
  return source;
}

}  // namespace

ServedModel::ServedModel(Parts parts) : parts_(std::move(parts)), guard_(parts_.tokenizer) {
  if (parts_.chat_template) tool_call_format_ = detect_tool_call_format(*parts_.chat_template);
}

Json ServedModel::template_message(const ChatMessage& message) const {
  Json out = {{"role", role_name(message.role)}};
  const bool assistant = message.role == ChatMessage::Role::kAssistant;
  // Templates find reasoning in the text of an earlier answer where it is not given apart.
  const bool tags = assistant && !message.reasoning;
  out["content"] = tags ? guard_.guard(message.content, kReasoningTags) : guard_.guard(message.content);
  if (message.reasoning) out["reasoning_content"] = guard_.guard(*message.reasoning);
  if (!message.tool_calls.empty()) {
    Json calls = Json::array();
    for (const ChatToolCall& call : message.tool_calls) {
      calls.push_back(
          {{"id", guard_.guard(call.id)},
           {"type", "function"},
           {"function", {{"name", guard_.guard(call.name)}, {"arguments", guard_.guard_json(call.arguments)}}}});
    }
    out["tool_calls"] = std::move(calls);
  }
  if (message.role == ChatMessage::Role::kTool) out["tool_call_id"] = guard_.guard(message.tool_call_id);
  return out;
}

PreparedPrompt ServedModel::prepare(const Chat& chat) const {
  if (!parts_.chat_template) {
    throw ApiError(400, "the model has no chat template: it answers /v1/completions only");
  }
  Json inputs = {{"messages", Json::array()}, {"tools", nullptr}};
  for (const ChatMessage& message : chat.messages) inputs["messages"].push_back(template_message(message));
  if (!chat.tools.empty()) {
    inputs["tools"] = Json::array();
    for (const Json& tool : chat.tools) inputs["tools"].push_back(guard_.guard_json(tool));
  }
  inputs["add_generation_prompt"] = !chat.continues_last;
  if (chat.thinking) inputs["enable_thinking"] = *chat.thinking;
  for (const auto& [name, value] : chat.template_args.items()) inputs[name] = guard_.guard_json(value);
  GuardedPrompt prompt;
  try {
    prompt = TextGuard::open(parts_.chat_template->render(inputs));
  } catch (const Error& error) {
    throw ApiError(400, error.what());
  }
  PreparedPrompt out{std::move(prompt.text), {}};
  // The template writes the tokens that begin a text itself.
  out.ids = parts_.tokenizer.encode(out.text, {.add_special_tokens = false, .barriers = prompt.barriers});
  return out;
}

PreparedPrompt ServedModel::prepare(const RawPrompt& prompt) const {
  if (const auto* ids = std::get_if<std::vector<int32_t>>(&prompt)) return {{}, *ids};
  PreparedPrompt out{std::get<std::string>(prompt), {}};
  out.ids = parts_.tokenizer.encode(out.text);
  return out;
}

SamplingParams ServedModel::sampling(const SamplingRequest& request, int64_t index) const {
  const GenerationConfig& config = parts_.generation_config;
  const bool asked = request.temperature || request.top_k || request.top_p || request.min_p;
  const bool samples = asked || config.do_sample.value_or(false);
  SamplingParams params;
  params.temperature = samples ? request.temperature.value_or(config.temperature.value_or(1)) : 0;
  params.top_k = request.top_k.value_or(config.top_k.value_or(0));
  // The APIs allow 0, by which only the likeliest is left; the sampler wants some probability.
  params.top_p = std::max(request.top_p.value_or(config.top_p.value_or(1)), 1e-9);
  params.min_p = request.min_p.value_or(config.min_p.value_or(0));
  params.repetition_penalty = request.repetition_penalty.value_or(config.repetition_penalty.value_or(1));
  params.presence_penalty = request.presence_penalty;
  params.frequency_penalty = request.frequency_penalty;
  params.logit_bias = request.logit_bias;
  params.seed = request.seed ? *request.seed + static_cast<uint64_t>(index) : random_seed();
  return params;
}

uint64_t random_seed() { return random_source()(); }

std::string random_id(std::string_view prefix) {
  constexpr std::string_view kAlphabet = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  std::string out(prefix);
  std::uniform_int_distribution<size_t> any(0, kAlphabet.size() - 1);
  for (int i = 0; i < 24; ++i) out += kAlphabet[any(random_source())];
  return out;
}

}  // namespace glimmer

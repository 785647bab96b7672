#include "session/chat_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "base/error.h"
#include "base/utf8.h"
#include "session/tool_results.h"
#include "text/output_parser.h"

namespace glimmer {
namespace {

constexpr std::string_view kGapTokens[] = {"<|code_prefix|>", "<|code_suffix|>", "<|code_middle|>"};
constexpr std::string_view kReasoningTags[] = {"<think>", "</think>"};

constexpr std::string_view kSpace = " \t\r\n\f\v";

bool is_blank(std::string_view text) { return text.find_first_not_of(kSpace) == std::string_view::npos; }

// The last section of an answer that was begun.
BegunSection begun_section(const ChatMessage& message) {
  if (message.reasoning) {
    const bool thought_only = is_blank(message.content) && !is_blank(*message.reasoning);
    return {thought_only, thought_only ? *message.reasoning : message.content};
  }
  // Reasoning that is not given separately is in the text, where templates look for it.
  const std::string_view text = message.content;
  if (const size_t end = text.rfind(kReasoningTags[1]); end != std::string_view::npos) {
    return {false, std::string(text.substr(end + kReasoningTags[1].size()))};
  }
  const size_t first = std::min(text.find_first_not_of(kSpace), text.size());
  const bool opens = text.substr(first).starts_with(kReasoningTags[0]);
  return {opens, std::string(opens ? text.substr(first + kReasoningTags[0].size()) : text)};
}

// The common prefix of `text` and `other`, in whole characters.
std::string_view common_beginning(std::string_view text, std::string_view other) {
  const auto differs = std::mismatch(text.begin(), text.end(), other.begin(), other.end()).first;
  const auto common = text.substr(0, static_cast<size_t>(differs - text.begin()));
  return common.substr(0, common.size() - incomplete_utf8_suffix_bytes(common));
}

}  // namespace

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

ChatModel::ChatModel(Parts parts) : parts_(std::move(parts)), guard_(parts_.tokenizer) {
  if (!parts_.chat_template) return;
  tool_call_format_ = detect_tool_call_format(*parts_.chat_template);
  tool_turns_ = detect_tool_turns(*parts_.chat_template);
}

Json ChatModel::template_message(const ChatMessage& message) const {
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

std::string ChatModel::render(const Json& inputs) const {
  try {
    return parts_.chat_template->render(with_tool_turns(tool_turns_, inputs));
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kMemory) throw;
    fail(ErrorCode::kInvalid, "{}", error.what());
  }
}

// What the template writes up to the end of a field of the last message; empty if it does not write that field. Behind
// the text there may be the end of the turn, and white space at the text's end may be stripped; so the message is
// rendered as it is and with a mark behind its text, and the begun answer ends where the two differ.
std::string ChatModel::render_up_to(const Json& inputs, const std::string& field) const {
  Json marked = inputs;
  Json& text = marked["messages"].back()[field];
  text = text.get<std::string>().append(TextGuard::end_mark());
  std::string with_mark = render(marked);
  const size_t mark = with_mark.rfind(TextGuard::end_mark());
  if (mark == std::string::npos) return {};
  with_mark.resize(mark);
  const std::string as_it_is = render(inputs);
  const std::string_view common = common_beginning(with_mark, as_it_is);
  // A template may render more than the text differently with the mark: then the mark alone decides.
  return is_blank(std::string_view(with_mark).substr(common.size())) ? std::string(common) : with_mark;
}

// With the last message as the beginning of the answer, which may be but reasoning. A template that does not write the
// reasoning of that message leaves its text to go on with: then `section` becomes that.
std::string ChatModel::render_begun(const Json& inputs, BegunSection& section) const {
  if (section.reasoning && !is_blank(section.text)) {
    Json thinks = inputs;
    Json& message = thinks["messages"].back();
    message["content"] = "";
    message["reasoning_content"] = guard_.guard(section.text);
    std::string rendered = render_up_to(thinks, "reasoning_content");
    if (!rendered.empty()) return rendered;
    if (inputs["messages"].back().contains("reasoning_content")) section = {};
  }
  std::string rendered = render_up_to(inputs, "content");
  if (rendered.empty()) fail(ErrorCode::kInvalid, "the chat template does not write the message to go on with");
  return rendered;
}

PreparedPrompt ChatModel::prepare(const Chat& chat) const {
  if (!parts_.chat_template) {
    fail(ErrorCode::kUnsupported, "the model has no chat template: it goes on with texts only");
  }
  PreparedPrompt out;
  std::vector<ChatMessage> messages = chat.messages;
  out.remarks = order_tool_results(messages);
  Json inputs = {{"messages", Json::array()}, {"tools", nullptr}};
  for (const ChatMessage& message : messages) inputs["messages"].push_back(template_message(message));
  if (!chat.tools.empty()) {
    inputs["tools"] = Json::array();
    for (const Json& tool : chat.tools) inputs["tools"].push_back(guard_.guard_json(tool));
  }
  inputs["add_generation_prompt"] = chat.add_generation_prompt && !chat.continues_last;
  if (chat.thinking) inputs["enable_thinking"] = *chat.thinking;
  for (const auto& [name, value] : chat.template_args.items()) inputs[name] = guard_.guard_json(value);

  std::string rendered;
  if (chat.continues_last) {
    const ChatMessage& last = messages.back();
    if (last.role != ChatMessage::Role::kAssistant || !last.tool_calls.empty()) {
      fail(ErrorCode::kInvalid, "the message to go on with must be the assistant's, without tool calls");
    }
    BegunSection section = begun_section(last);
    rendered = render_begun(inputs, section);
    out.continues_text = !is_blank(section.text);
    out.opens_reasoning = section.reasoning;
  } else {
    rendered = render(inputs);
  }
  GuardedPrompt prompt = TextGuard::open(rendered);
  out.text = std::move(prompt.text);
  out.opens_reasoning = out.opens_reasoning || (!out.continues_text && prompt_opens_reasoning(out.text));
  // The template writes the tokens that begin a text itself.
  out.ids = parts_.tokenizer.encode(out.text, {.add_special_tokens = false, .barriers = prompt.barriers});
  return out;
}

// <|code_prefix|>prompt<|code_suffix|>suffix<|code_middle|>, and then the model writes what is between the two. Source:
// the order in which llama.cpp's /infill puts these tokens of GLM's.
PreparedPrompt ChatModel::prepare_gap(const RawPrompt& prompt, const std::string& suffix) const {
  PreparedPrompt out;
  const auto add_token = [&](std::string_view name) {
    const auto id = parts_.tokenizer.token_to_id(name);
    if (!id) fail(ErrorCode::kUnsupported, "suffix: is not supported: the model's tokenizer has no token {}", name);
    out.ids.push_back(*id);
    out.text += name;
  };
  const auto add_text = [&](const std::string& text) {
    const auto ids = parts_.tokenizer.encode(text, {.add_special_tokens = false, .parse_special = false});
    out.ids.insert(out.ids.end(), ids.begin(), ids.end());
    out.text += text;
  };
  add_token(kGapTokens[0]);
  if (const auto* ids = std::get_if<std::vector<int32_t>>(&prompt)) {
    out.ids.insert(out.ids.end(), ids->begin(), ids->end());
    out.text += parts_.tokenizer.decode(*ids);
  } else {
    add_text(std::get<std::string>(prompt));
  }
  add_token(kGapTokens[1]);
  add_text(suffix);
  add_token(kGapTokens[2]);
  return out;
}

bool ChatModel::fills_gaps() const {
  return std::all_of(std::begin(kGapTokens), std::end(kGapTokens),
                     [&](std::string_view token) { return parts_.tokenizer.token_to_id(token).has_value(); });
}

PreparedPrompt ChatModel::prepare(const RawPrompt& prompt, const std::string& suffix) const {
  if (!suffix.empty()) return prepare_gap(prompt, suffix);
  PreparedPrompt out;
  if (const auto* ids = std::get_if<std::vector<int32_t>>(&prompt)) {
    out.ids = *ids;
    return out;
  }
  out.text = std::get<std::string>(prompt);
  out.ids = parts_.tokenizer.encode(out.text);
  return out;
}

}  // namespace glimmer

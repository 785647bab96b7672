#include "text/tool_turns.h"

#include <string>
#include <utility>

#include "base/error.h"
#include "text/jinja/format.h"
#include "text/jinja/value.h"

namespace glimmer {
namespace {

const std::string kName = "probe_the_name";
const std::string kText = "probe the text";

bool renders(const ChatTemplate& chat_template, const Json& inputs, const std::string& what) {
  try {
    return chat_template.render(inputs).find(what) != std::string::npos;
  } catch (const Error&) {
    return false;
  }
}

bool takes_metadata(const ChatTemplate& chat_template) {
  const Json user = {{"role", "user"}, {"content", "probe"}};
  const Json function = {{"name", kName}, {"arguments", Json::object()}};
  const Json call = {{"role", "assistant"},
                     {"content", ""},
                     {"tool_calls", Json::array({{{"id", "call_0"}, {"type", "function"}, {"function", function}}})}};
  if (renders(chat_template, {{"messages", Json::array({user, call})}}, kName)) return false;
  const Json turn = {{"role", "assistant"}, {"metadata", kName}, {"content", kText}};
  const Json result = {{"role", "observation"}, {"content", kText}};
  return renders(chat_template, {{"messages", Json::array({user, turn})}}, "<|assistant|>" + kName + "\n" + kText) &&
         renders(chat_template, {{"messages", Json::array({user, result})}}, "<|observation|>\n" + kText);
}

bool takes_tools_in_message(const ChatTemplate& chat_template) {
  const Json function = {{"name", kName}, {"description", kText}, {"parameters", {{"type", "object"}}}};
  const Json tools = Json::array({{{"type", "function"}, {"function", function}}});
  const Json user = {{"role", "user"}, {"content", "probe"}};
  const Json system = {{"role", "system"}, {"content", ""}, {"tools", tools}};
  return !renders(chat_template, {{"messages", Json::array({user})}, {"tools", tools}}, kName) &&
         renders(chat_template, {{"messages", Json::array({system, user})}}, kName);
}

bool is_empty(const Json& content) { return content.is_null() || content == "" || content == Json::array(); }

// The arguments as the template itself would write them.
std::string arguments_text(const Json& function) {
  const auto it = function.find("arguments");
  if (it == function.end() || it->is_null()) return "{}";
  if (it->is_string()) return it->get<std::string>();
  return jinja::dump_json(jinja::Value::from_json(*it), {});
}

void add_metadata_turns(Json message, Json& out) {
  const auto role = message.find("role");
  if (role != message.end() && *role == "tool") *role = "observation";
  const auto found = message.find("tool_calls");
  if (found == message.end() || !found->is_array() || found->empty()) {
    out.push_back(std::move(message));
    return;
  }
  const Json calls = std::move(*found);
  message.erase("tool_calls");
  const auto content = message.find("content");
  if (content != message.end() && !is_empty(*content)) out.push_back(std::move(message));
  for (const Json& call : calls) {
    const auto inner = call.is_object() ? call.find("function") : call.end();
    const Json& function = inner != call.end() ? *inner : call;
    if (!function.is_object()) continue;
    out.push_back(
        {{"role", "assistant"}, {"metadata", function.value("name", Json(""))}, {"content", arguments_text(function)}});
  }
}

}  // namespace

ToolTurns detect_tool_turns(const ChatTemplate& chat_template) {
  return {.as_metadata = takes_metadata(chat_template), .tools_in_message = takes_tools_in_message(chat_template)};
}

Json with_tool_turns(const ToolTurns& turns, Json inputs) {
  const auto messages = inputs.find("messages");
  if (messages == inputs.end() || !messages->is_array()) return inputs;
  if (turns.as_metadata) {
    Json out = Json::array();
    for (Json& message : *messages) add_metadata_turns(std::move(message), out);
    *messages = std::move(out);
  }
  const auto tools = inputs.find("tools");
  if (turns.tools_in_message && tools != inputs.end() && tools->is_array() && !tools->empty()) {
    const bool has_system = !messages->empty() && messages->front().value("role", Json()) == "system";
    if (!has_system) messages->insert(messages->begin(), Json{{"role", "system"}, {"content", ""}});
    messages->front()["tools"] = std::exchange(*tools, nullptr);
  }
  return inputs;
}

}  // namespace glimmer

#include "text/tool_call_format.h"

#include <array>
#include <initializer_list>
#include <string>

#include "base/error.h"

namespace glimmer {
namespace {

constexpr std::string_view kName = "probe_the_name";
constexpr std::string_view kKey = "probe_the_key";
constexpr std::string_view kValue = "probe the value";
constexpr std::string_view kArguments = R"({"probe_the_key": "probe the value"})";

Json probe_inputs() {
  const std::string name(kName);
  Json parameters = {{"type", "object"}, {"properties", {{std::string(kKey), {{"type", "string"}}}}}};
  Json function = {{"name", name}, {"description", "probe"}, {"parameters", std::move(parameters)}};
  Json call = {{"id", "call_0"},
               {"type", "function"},
               {"function", {{"name", name}, {"arguments", {{std::string(kKey), std::string(kValue)}}}}}};
  return {{"messages",
           {{{"role", "user"}, {"content", "probe"}},
            {{"role", "assistant"}, {"content", ""}, {"tool_calls", Json::array({std::move(call)})}}}},
          {"tools", Json::array({{{"type", "function"}, {"function", std::move(function)}}})}};
}

// The same call as templates want it that know no "tool_calls" (tool_turns.h).
Json metadata_inputs() {
  return {{"messages",
           {{{"role", "user"}, {"content", "probe"}},
            {{"role", "assistant"}, {"metadata", std::string(kName)}, {"content", std::string(kArguments)}}}}};
}

std::string rendered_or_nothing(const ChatTemplate& chat_template, const Json& inputs) {
  try {
    return chat_template.render(inputs);
  } catch (const Error&) {
    return {};
  }
}

// Whether `parts` stand at `at`, one behind the other with nothing but white space between.
bool stand_at(std::string_view text, size_t at, std::initializer_list<std::string_view> parts) {
  for (const std::string_view part : parts) {
    at = text.find_first_not_of(" \t\r\n", at);
    if (at == std::string_view::npos || !text.substr(at).starts_with(part)) return false;
    at += part.size();
  }
  return true;
}

bool has_metadata_call(std::string_view text) {
  const size_t at = text.find("<|assistant|>" + std::string(kName));
  return at != std::string_view::npos && stand_at(text, at, {"<|assistant|>", kName, kArguments});
}

}  // namespace

std::string_view tool_call_format_name(ToolCallFormat format) {
  static constexpr std::array<std::string_view, 4> kNames = {"none", "glm_xml", "qwen3_coder", "glm_metadata"};
  return kNames.at(static_cast<size_t>(format));
}

ToolCallFormat detect_tool_call_format(const ChatTemplate& chat_template) {
  const std::string rendered = rendered_or_nothing(chat_template, probe_inputs());
  const std::string_view text = rendered;
  for (size_t at = text.find("<tool_call>"); at != std::string_view::npos; at = text.find("<tool_call>", at + 1)) {
    if (stand_at(text, at,
                 {"<tool_call>", kName, "<arg_key>", kKey, "</arg_key>", "<arg_value>", kValue, "</arg_value>",
                  "</tool_call>"})) {
      return ToolCallFormat::kGlmXml;
    }
    if (stand_at(text, at,
                 {"<tool_call>", "<function=", kName, ">", "<parameter=", kKey, ">", kValue, "</parameter>",
                  "</function>", "</tool_call>"})) {
      return ToolCallFormat::kQwen3Coder;
    }
  }
  const bool metadata =
      has_metadata_call(text) || has_metadata_call(rendered_or_nothing(chat_template, metadata_inputs()));
  return metadata ? ToolCallFormat::kGlmMetadata : ToolCallFormat::kNone;
}

}  // namespace glimmer

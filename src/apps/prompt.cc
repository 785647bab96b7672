#include "apps/prompt.h"

#include "base/error.h"
#include "base/json_numbers.h"
#include "base/mapped_file.h"

namespace glimmer::apps {
namespace {

namespace fs = std::filesystem;

// `text` as JSON, else as a string: --template-arg enable_thinking=false, reasoning_effort=high.
Json value_of(const std::string& text) {
  try {
    return parse_exact_json(text, "--template-arg");
  } catch (const Error&) {
    return text;
  }
}

}  // namespace

void TemplateFlags::add(Flags& flags) {
  flags.group("Chat template")
      .add("--template-arg", args, "KEY=VALUE",
           "Pass an argument to the template (JSON or text); may be given more than once")
      .add_switch("--no-thinking", no_thinking, "Disable reasoning; same as --template-arg enable_thinking=false");
}

void TemplateFlags::apply(Json& inputs) const {
  if (no_thinking) inputs["enable_thinking"] = false;
  for (const std::string& arg : args) {
    const size_t equals = arg.find('=');
    if (equals == std::string::npos || equals == 0)
      fail(ErrorCode::kUsage, "--template-arg: '{}' is not KEY=VALUE", arg);
    inputs[arg.substr(0, equals)] = value_of(arg.substr(equals + 1));
  }
}

Json read_tools(const fs::path& path) {
  Json tools = parse_exact_json(read_file(path), path.string());
  if (tools.is_object() && tools.contains("tools")) tools = Json(tools["tools"]);
  if (!tools.is_array()) {
    fail(ErrorCode::kInvalid, "{}: expected a list of tools, or an object with it as \"tools\", found {}",
         path.string(), tools.type_name());
  }
  for (const Json& tool : tools) {
    if (!tool.is_object()) {
      fail(ErrorCode::kInvalid, "{}: expected each tool to be an object, found {}", path.string(), dump_json(tool));
    }
  }
  return tools;
}

}  // namespace glimmer::apps

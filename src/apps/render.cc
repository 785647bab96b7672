// glimmer render: messages to prompt text.
#include "apps/command.h"
#include "apps/jsonl.h"
#include "apps/options.h"
#include "apps/prompt.h"
#include "apps/terminal.h"
#include "base/error.h"
#include "base/json_numbers.h"
#include "base/mapped_file.h"
#include "session/model_files.h"

namespace glimmer::apps {
namespace {

struct RenderOptions {
  ModelFlags model;
  TemplateFlags template_flags;
  std::string template_file;
  std::optional<std::string> file;
  bool jsonl = false;
};

std::string render(const ChatTemplate& chat_template, const RenderOptions& options, Json inputs) {
  if (inputs.is_array()) inputs = Json{{"messages", std::move(inputs)}};
  if (!inputs.is_object()) {
    fail(ErrorCode::kInvalid, "expected an object with \"messages\", found {}", inputs.type_name());
  }
  options.template_flags.apply(inputs);
  return chat_template.render(inputs);
}

}  // namespace

int render_command(Arguments arguments) {
  RenderOptions options;
  Flags flags("render", "Prints the prompt that a chat template renders from messages, byte for byte.");
  flags.add("FILE", options.file, "",
            "{\"messages\": [...], \"tools\": ..., \"add_generation_prompt\": ..., ...}, or just the list of messages "
            "(default: standard input)");
  options.model.add(flags);
  flags.add("--template", options.template_file, "FILE.jinja", "Use this template instead of the model's")
      .add_switch("--jsonl", options.jsonl, "Read one such object per line, write one {\"text\": ...} per line");
  options.template_flags.add(flags);
  flags.examples(
      "  echo '{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}], \"add_generation_prompt\": true}' | glimmer "
      "render\n"
      "  glimmer render -m ~/models/GLM-4.7-Flash chat.json --template-arg enable_thinking=false\n"
      "  glimmer render --template chat_template.jinja --jsonl < inputs.jsonl");
  if (!flags.parse(arguments)) return 0;
  if (options.jsonl && options.file) fail(ErrorCode::kUsage, "--jsonl reads standard input and excludes FILE");
  if (!options.template_file.empty() && options.model.model) {
    fail(ErrorCode::kUsage, "--model and --template exclude each other");
  }
  const ChatTemplate chat_template = options.template_file.empty()
                                         ? ChatTemplate::load(open_side_files(options.model.folder_or_file()).files)
                                         : ChatTemplate::from_file(options.template_file);
  if (options.jsonl) {
    map_json_lines([&](const Json& line) { return Json{{"text", render(chat_template, options, line)}}; });
    return 0;
  }
  const std::string source = options.file.value_or("standard input");
  const std::string json = options.file ? read_file(*options.file) : read_all_input();
  write_exact_text(render(chat_template, options, parse_exact_json(json, source)));
  return 0;
}

}  // namespace glimmer::apps

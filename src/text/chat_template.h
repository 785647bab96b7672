// A model's chat template: messages, tools and other arguments in, the prompt's text out, byte for byte as
// transformers' `apply_chat_template(..., tokenize=False)` renders it. The Jinja interpreter behind it is in
// text/jinja.
#pragma once

#include <ctime>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/side_files.h"

namespace glimmer {

// Local date and time, as `strftime_now` of a template sees them. Tests give a fixed one.
using LocalClock = std::function<std::tm()>;

// What one render may cost. Beyond it, kLimit. The defaults are far above what an honest template needs for a
// context of a million tokens, and stop a hostile one within seconds.
struct TemplateLimits {
  int64_t max_steps = 50'000'000;              // evaluated nodes, loop rounds, filter items, 16 bytes of text
  size_t max_output_bytes = size_t{64} << 20;  // of the render, and of any one string in it
  size_t max_memory_bytes = size_t{1} << 29;   // of the values alive at one time
  int max_call_depth = 100;                    // macros, callers and recursive loops inside one another
};

struct TemplateOptions {
  LocalClock clock;  // empty: the system's local time
  TemplateLimits limits;
};

// Immutable after construction; render() may be called from many threads at once.
class ChatTemplate {
 public:
  // Compiles one template. `source` (a path) begins every message: "chat_template.jinja:12: unknown filter 'foo'; ...".
  // Throws kInvalid on a syntax error and on unknown filters and tests, kUnsupported on include, import and extends,
  // kLimit when nested too deeply.
  ChatTemplate(std::string_view text, std::string source, TemplateOptions options = {});

  // A model's template: `chat_template.jinja` (with `additional_chat_templates/tool_use.jinja`), else
  // `chat_template.json`, else the `chat_template` of `tokenizer_config.json`: a string, or a list of
  // {"name", "template"}. bos_token, eos_token and the other special tokens of tokenizer_config.json are given to it.
  // Throws kNotFound when the model has none; kInvalid when a file is malformed.
  static ChatTemplate load(const SideFiles& files, TemplateOptions options = {});
  static ChatTemplate load(const std::filesystem::path& model_dir, TemplateOptions options = {});

  // Whether load() would find a template.
  static bool exists(const SideFiles& files);
  static bool exists(const std::filesystem::path& model_dir);

  // A template file by itself; special tokens are undefined in it unless the inputs give them.
  static ChatTemplate from_file(const std::filesystem::path& path, TemplateOptions options = {});

  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;
  ~ChatTemplate();

  // Renders {"messages": [...], "tools": [...] or null, "documents": ..., "add_generation_prompt": bool, and any other
  // argument of the template: "enable_thinking", "clear_thinking", "reasoning_effort", ...}.
  //   - messages: objects with a string "role"; "content" may be a string, a list of parts, or null.
  //   - tool_calls[].function.arguments given as a JSON string (as OpenAI does) becomes the object it holds; an empty
  //     string becomes {}.
  //   - tools and documents that are absent are none, and add_generation_prompt false, as in transformers.
  //   - an argument overrides a special token of the same name; invalid UTF-8 becomes U+FFFD.
  //   - with tools, the template named "tool_use" renders when the model has one, else "default".
  // Throws kInvalid when the inputs have another shape, when the template fails (a type error, its own
  // raise_exception), and kLimit when a limit is passed; the message names the template and the line.
  std::string render(const Json& inputs) const;

  // The text of the default template: to tell which reasoning and tool-call format it writes.
  const std::string& text() const;
  const std::string& source() const;

  // What tokenizer_config.json gave: {"bos_token": "...", ...}; empty when there was none.
  const Json& special_tokens() const;

 private:
  struct Impl;
  explicit ChatTemplate(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace glimmer

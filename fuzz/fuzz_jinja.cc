// Arbitrary template text with a fixed conversation: an Error or a text, never a crash, within small limits.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "text/chat_template.h"

namespace {

const glimmer::Json& inputs() {
  static const glimmer::Json json = glimmer::Json::parse(R"({
    "messages": [{"role": "system", "content": "Be kind."},
                 {"role": "user", "content": [{"type": "text", "text": "caf\u00e9 \u4f60\u597d"}]},
                 {"role": "assistant", "content": null, "reasoning_content": "hm",
                  "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": {"x": 1.5, "y": [null, true]}}}]},
                 {"role": "tool", "content": "<b>&amp;"}],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}],
    "add_generation_prompt": true, "bos_token": "<s>", "n": -7, "f": 0.1, "s": "a,b c\nd"})");
  return json;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  glimmer::TemplateOptions options;
  options.clock = [] { return std::tm{.tm_mday = 1, .tm_year = 125}; };
  options.limits = {
      .max_steps = 100'000, .max_output_bytes = 1 << 20, .max_memory_bytes = 16 << 20, .max_call_depth = 30};
  try {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    (void)glimmer::ChatTemplate(text, "fuzz", options).render(inputs());
  } catch (const glimmer::Error&) {
  }
  return 0;
}

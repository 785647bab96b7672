// Tools of any shape: schemas for their arguments, never a crash, and work in proportion to what was sent.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "text/tool_schema.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const glimmer::ToolSchemas tools(glimmer::parse_json(text, "fuzz"));
    if (tools.steps() > static_cast<int64_t>(16 * size) + 4 * glimmer::kMaxJoined) std::abort();
    if (const glimmer::ToolSchema* tool = tools.find("f")) {
      for (const auto& [name, type] : tool->parameters) {
        if (type.types == 0) std::abort();
        for (const glimmer::Json& value : type.values) (void)value.type();
      }
    }
  } catch (const glimmer::Error&) {
  }
  return 0;
}

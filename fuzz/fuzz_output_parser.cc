// Arbitrary output of a model, cut in pieces: the first byte picks format, start, tools and end, the second how it is
// cut. The deltas joined are those of the whole, and the arguments of each call are a JSON object.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string_view>

#include "base/utf8.h"
#include "text/output_parser.h"

namespace {

using namespace glimmer;  // NOLINT: a program of one file

const std::shared_ptr<const ToolSchemas>& tools() {
  static const auto schemas = std::make_shared<const ToolSchemas>(Json::parse(R"([{"name": "f", "parameters": {
    "properties": {"s": {"type": "string"}, "i": {"type": "integer"}, "a": {"type": "array"}, "b": {"type": "boolean"},
                   "u": {"anyOf": [{"type": "string"}, {"type": "null"}]}, "e": {"enum": ["x", 1]}}}},
    {"name": "g", "parameters": {"$defs": {"A": {"properties": {"n": {"type": "NUMBER"}, "o": {"type": "object"}}}},
     "oneOf": [{"$ref": "#/$defs/A"}, {"properties": {"n": {"type": "null"}, "s": {"type": "str"}}}],
     "allOf": [{"properties": {"l": {"type": ["array", "integer"]}}}]}}])"));
  return schemas;
}

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 2, size - 2);
  const OutputParserOptions options{.format = static_cast<ToolCallFormat>(data[0] & 3),
                                    .starts_in_reasoning = (data[0] & 4) != 0,
                                    .tools = (data[0] & 8) != 0 ? tools() : nullptr,
                                    .max_calls = (data[0] & 16) != 0 ? 1 : 0};
  const OutputEnd end = (data[0] & 32) != 0 ? OutputEnd::kCut : OutputEnd::kStop;
  OutputParser parser(options);
  ParsedOutput streamed;
  const size_t step = 1 + data[1] % 16;
  for (size_t at = 0; at < text.size(); at += step) streamed.add(parser.feed(text.substr(at, step)));
  streamed.add(parser.finish(end));
  require(streamed == parse_output(text, options, end));
  require(is_valid_utf8(streamed.content) && is_valid_utf8(streamed.reasoning));
  for (const ParsedOutput::Call& call : streamed.calls) {
    require(Json::parse(call.arguments + call.missing, nullptr, false).is_object());
    require(end == OutputEnd::kCut || call.missing.empty());
  }
  return 0;
}

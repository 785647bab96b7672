// Tools, outputs and ways to cut them, for the tests of text/output_parser.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "text/output_parser.h"

namespace glimmer {

inline const Json& weather_tools() {
  static const Json tools = Json::parse(R"([
    {"type": "function", "function": {"name": "get_weather", "parameters": {
      "type": "object",
      "$defs": {"Point": {"type": "object", "properties": {"x": {"type": "integer"}}}, "Loop": {"$ref": "#/$defs/Loop"}},
      "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer"},
        "temp": {"type": "number"},
        "metric": {"type": "boolean"},
        "nothing": {"type": "null"},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "tags": {"type": "array", "items": {"type": "string"}},
        "opts": {"type": "object"},
        "at": {"$ref": "#/$defs/Point"},
        "loop": {"$ref": "#/$defs/Loop"},
        "unit": {"enum": ["celsius", "fahrenheit"]},
        "level": {"enum": ["1", 2]},
        "either": {"type": ["integer", "boolean"]},
        "maybe": {"type": "integer", "nullable": true}
      }}}},
    {"name": "now", "input_schema": {"type": "object", "properties": {}}},
    {"type": "function", "name": "write_file", "parameters": {"type": "object", "properties": {
      "path": {"type": "string"}, "content": {"type": "string"}}, "additionalProperties": {"type": "string"}}}
  ])");
  return tools;
}

inline OutputParserOptions with_tools(ToolCallFormat format) {
  static const auto tools = std::make_shared<const ToolSchemas>(weather_tools());
  return {.format = format, .tools = tools};
}
inline OutputParserOptions glm() { return with_tools(ToolCallFormat::kGlmXml); }
inline OutputParserOptions qwen() { return with_tools(ToolCallFormat::kQwen3Coder); }
inline OutputParserOptions glm_metadata() { return with_tools(ToolCallFormat::kGlmMetadata); }

// Deltas with neighbours of one kind joined: what does not depend on how the text was cut.
inline OutputDeltas joined(const OutputDeltas& deltas) {
  OutputDeltas out;
  for (const OutputDelta& delta : deltas) {
    const bool text = delta.kind == DeltaKind::kContent || delta.kind == DeltaKind::kReasoning ||
                      delta.kind == DeltaKind::kToolCallArguments;
    if (text && !out.empty() && out.back().kind == delta.kind && out.back().call == delta.call) {
      out.back().text += delta.text;
    } else {
      out.push_back(delta);
    }
  }
  return out;
}

inline OutputDeltas parse_pieces(const std::vector<std::string_view>& pieces, const OutputParserOptions& options,
                                 OutputEnd end) {
  OutputParser parser(options);
  OutputDeltas all;
  for (const std::string_view piece : pieces) {
    for (OutputDelta& delta : parser.feed(piece)) all.push_back(std::move(delta));
  }
  for (OutputDelta& delta : parser.finish(end)) all.push_back(std::move(delta));
  return joined(all);
}

inline std::vector<std::string_view> cut_every(std::string_view text, size_t bytes) {
  std::vector<std::string_view> pieces;
  for (size_t at = 0; at < text.size(); at += bytes) pieces.push_back(text.substr(at, bytes));
  return pieces;
}

// Before and behind each '<' and '>', and in the middle of each tag.
inline std::vector<std::string_view> cut_at_tags(std::string_view text) {
  std::vector<std::string_view> pieces;
  size_t from = 0;
  for (size_t at = 1; at < text.size(); ++at) {
    if (text[at] != '<' && text[at - 1] != '<' && text[at - 1] != '>' && text[at] != '_') continue;
    pieces.push_back(text.substr(from, at - from));
    from = at;
  }
  pieces.push_back(text.substr(from));
  return pieces;
}

inline std::vector<std::string_view> cut_at_random(std::string_view text, std::mt19937& random) {
  std::vector<std::string_view> pieces;
  for (size_t at = 0; at < text.size();) {
    const size_t bytes = 1 + random() % 24;
    pieces.push_back(text.substr(at, bytes));
    at += bytes;
  }
  return pieces;
}

inline void PrintTo(const OutputDelta& delta, std::ostream* out) {
  static const std::vector<std::string> kNames = {"content", "reasoning", "begin", "arguments", "end", "diagnostic"};
  *out << kNames.at(static_cast<size_t>(delta.kind)) << ' ' << delta.call << " {" << delta.text << '}';
}

// However `text` is cut, its deltas are the same.
inline void expect_same_for_every_cut(std::string_view text, const OutputParserOptions& options, OutputEnd end) {
  const OutputDeltas whole = parse_pieces({text}, options, end);
  const auto check = [&](const std::vector<std::string_view>& pieces, const std::string& how) {
    const OutputDeltas cut = parse_pieces(pieces, options, end);
    EXPECT_TRUE(cut == whole) << how << " of: " << text << '\n' << ::testing::PrintToString(cut);
  };
  for (const size_t bytes : {1, 2, 3, 5, 7}) check(cut_every(text, bytes), "pieces of " + std::to_string(bytes));
  check(cut_at_tags(text), "pieces at tags");
  for (size_t at = 1; at < text.size(); ++at) {
    check({text.substr(0, at), text.substr(at)}, "cut at " + std::to_string(at));
  }
  std::mt19937 random(1);
  for (int i = 0; i < 8; ++i) check(cut_at_random(text, random), "random cut " + std::to_string(i));
}

struct ExpectedCall {
  std::string name;
  std::string arguments;
};

struct ExpectedOutput {
  std::string reasoning;
  std::string content;
  std::vector<ExpectedCall> calls;
  size_t diagnostics = 0;
};

// Checks the deltas of the whole text, and that they are the same for every cut of it.
inline void expect_output(const OutputParserOptions& options, std::string_view text, const ExpectedOutput& expected,
                          OutputEnd end = OutputEnd::kStop) {
  SCOPED_TRACE(text);
  const ParsedOutput parsed = parse_output(text, options, end);
  EXPECT_EQ(parsed.reasoning, expected.reasoning);
  EXPECT_EQ(parsed.content, expected.content);
  EXPECT_EQ(parsed.diagnostics.size(), expected.diagnostics) << ::testing::PrintToString(parsed.diagnostics);
  ASSERT_EQ(parsed.calls.size(), expected.calls.size());
  for (size_t i = 0; i < expected.calls.size(); ++i) {
    EXPECT_EQ(parsed.calls[i].name, expected.calls[i].name);
    EXPECT_EQ(parsed.calls[i].arguments, expected.calls[i].arguments);
    EXPECT_EQ(parsed.calls[i].missing, "");
  }
  expect_same_for_every_cut(text, options, end);
}

inline OutputParserOptions thinking(OutputParserOptions options) {
  options.starts_in_reasoning = true;
  return options;
}

}  // namespace glimmer

// What holds for every output, well-formed or not, however it is cut.
#include <gtest/gtest.h>

#include <set>

#include "base/utf8.h"
#include "text/output_parser.h"
#include "text/output_parser_fixture.h"
#include "text/stream_decoder.h"

namespace glimmer {
namespace {

// Makes outputs of tags, names, values and words that each occur once ("w17w"), so that none can go missing unseen.
class OutputMaker {
 public:
  explicit OutputMaker(uint32_t seed) : random_(seed) {}

  // Calls in the template's form, with text around, of which some parts are then lost, doubled, swapped or replaced.
  std::string damaged(ToolCallFormat format) {
    std::vector<std::string> parts = {"<think>", word(), "</think>", "\n", word()};
    for (size_t calls = 1 + random_() % 3; calls > 0; --calls) add_call(format, parts);
    if (random_() % 2 == 0) parts.push_back(word());
    for (size_t damages = random_() % 4; damages > 0; --damages) {
      const size_t at = random_() % parts.size();
      switch (random_() % 4) {
        case 0:
          parts[at] = "";
          break;
        case 1:
          parts.insert(parts.begin() + static_cast<ptrdiff_t>(at), tag());
          break;
        case 2:
          std::swap(parts[at], parts[random_() % parts.size()]);
          break;
        default:
          parts.insert(parts.begin() + static_cast<ptrdiff_t>(at), word());
      }
    }
    std::string text;
    for (const std::string& part : parts) text += part;
    if (random_() % 3 == 0) text.resize(random_() % (text.size() + 1));
    return text;
  }

  // Anything after anything.
  std::string soup() {
    std::string text;
    for (size_t parts = random_() % 40; parts > 0; --parts) {
      const size_t kind = random_() % 8;
      text += kind < 4 ? tag() : kind == 4 ? word() : kind == 5 ? space() : kind == 6 ? name() : value();
    }
    return text;
  }

 private:
  std::string pick(const std::vector<std::string>& from) { return from[random_() % from.size()]; }
  std::string word() { return "w" + std::to_string(words_++) + "w"; }
  std::string space() { return pick({" ", "\n", "\n\n", "\t", ""}); }
  std::string name() { return pick({"get_weather", "now", "write_file", "unknown", "get_weather2"}); }
  std::string key() { return pick({"city", "days", "tags", "note", "content", "opts", "unit", "none", "temp"}); }
  std::string value() {
    return pick({"5", "-1.5", "true", "None", "null", "[1, \"a\"]", "{\"a\": {}}", "{", "\"q\"", "", "é你🙂", "a<b",
                 "\\n", "\xC3", "x\ny\n"}) +
           (random_() % 3 == 0 ? word() : "");
  }
  std::string tag() {
    return pick({"<think>",
                 "</think>",
                 "<tool_call>",
                 "</tool_call>",
                 "<arg_key>",
                 "</arg_key>",
                 "<arg_value>",
                 "</arg_value>",
                 "<function=",
                 "<function=now>",
                 "</function>",
                 "<parameter=",
                 "<parameter=city>",
                 "</parameter>",
                 "<",
                 "<|assistant|>",
                 "<|observation|>",
                 "{\"",
                 "\": ",
                 "}",
                 "</",
                 ">",
                 "<tool_",
                 "</arg_val",
                 "<function",
                 "</funct",
                 "<parameter"});
  }

  void add_call(ToolCallFormat format, std::vector<std::string>& parts) {
    const auto add = [&](std::initializer_list<std::string> more) { parts.insert(parts.end(), more); };
    if (format == ToolCallFormat::kGlmMetadata) return add_metadata_call(parts);
    const bool glm_format = format == ToolCallFormat::kGlmXml;
    if (glm_format) {
      add({"<tool_call>", name(), space()});
    } else {
      add({"<tool_call>", space(), "<function=", name(), ">", space()});
    }
    for (size_t arguments = random_() % 4; arguments > 0; --arguments) {
      if (glm_format) {
        add({"<arg_key>", key(), "</arg_key>", space(), "<arg_value>", value(), "</arg_value>", space()});
      } else {
        add({"<parameter=", key(), ">", "\n", value(), "\n", "</parameter>", space()});
      }
    }
    if (!glm_format) add({"</function>", space()});
    add({"</tool_call>", space()});
  }

  void add_metadata_call(std::vector<std::string>& parts) {
    const auto add = [&](std::initializer_list<std::string> more) { parts.insert(parts.end(), more); };
    add({space(), pick({"<|assistant|>", "<|assistant|>", ""}), name(), "\n", "{"});
    for (size_t arguments = random_() % 4; arguments > 0; --arguments) {
      const std::string quote = pick({"\"", "\"", "\"", "'"});
      const std::string text =
          pick({"Rome", "a \\n\\\"b\\\" \\u00e9\\ud83d\\ude42 ", "5", "[1]", "\\q", "{}, \\ud83d"}) + word();
      const std::string json =
          pick({"5", "-1.5", "12345678901234567890123", "true", "None", "[1, {\"a\": \"]\"}]", "{'x': ('y',)}", "{}"});
      add({quote + key() + quote, ":", space(), random_() % 2 == 0 ? json : quote + text + quote, space()});
      if (arguments > 1) add({", "});
    }
    add({"}"});
  }

  std::mt19937 random_;
  int words_ = 0;
};

std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> words;
  for (size_t at = 0; (at = text.find('w', at)) != std::string::npos; ++at) {
    const size_t end = text.find_first_not_of("0123456789", at + 1);
    if (end == std::string::npos || end == at + 1 || text[end] != 'w') continue;
    words.push_back(text.substr(at, end + 1 - at));
    at = end;
  }
  return words;
}

// The end of the text in which the name of an argument may stand that was cut off: that is no content.
size_t cut_name_bytes(const std::string& text, const ParsedOutput& parsed) {
  if (parsed.calls.empty() || parsed.calls.back().missing.empty()) return 0;
  size_t end_of_kept = 0;
  for (const std::string_view end : {"</arg_value>", "</parameter>", "<tool_call>", "<function=", "{", ","}) {
    if (const size_t at = text.rfind(end); at != std::string::npos)
      end_of_kept = std::max(end_of_kept, at + end.size());
  }
  return text.size() - end_of_kept;
}

// Begin, arguments and end of each call, one call after the other.
void expect_calls_in_order(const OutputDeltas& deltas) {
  int call = -1;
  bool open = false;
  for (const OutputDelta& delta : deltas) {
    if (delta.kind == DeltaKind::kToolCallBegin) {
      EXPECT_FALSE(open);
      EXPECT_EQ(delta.call, ++call);
      open = true;
    } else if (delta.kind == DeltaKind::kToolCallArguments || delta.kind == DeltaKind::kToolCallEnd) {
      EXPECT_TRUE(open);
      EXPECT_EQ(delta.call, call);
      if (delta.kind == DeltaKind::kToolCallEnd) open = false;
    } else if (delta.kind == DeltaKind::kContent || delta.kind == DeltaKind::kReasoning) {
      EXPECT_FALSE(open);
      EXPECT_EQ(delta.call, -1);
    }
  }
  EXPECT_FALSE(open);
}

void expect_sound(const std::string& text, const OutputParserOptions& options, OutputEnd end) {
  const OutputDeltas deltas = parse_pieces({text}, options, end);
  expect_calls_in_order(deltas);
  ParsedOutput parsed;
  parsed.add(deltas);
  EXPECT_EQ(parsed, parse_output(text, options, end));
  std::string all = parsed.reasoning + '\n' + parsed.content;
  for (const ParsedOutput::Call& call : parsed.calls) {
    all += '\n' + call.name + '\n' + call.arguments;
    const Json arguments = Json::parse(call.arguments + call.missing, nullptr, false);
    EXPECT_TRUE(arguments.is_object()) << call.arguments << " + " << call.missing;
    EXPECT_TRUE(end == OutputEnd::kCut || call.missing.empty());
  }
  EXPECT_TRUE(is_valid_utf8(all));
  const size_t end_of_kept = text.size() - cut_name_bytes(text, parsed);
  for (const std::string& word : words_of(text)) {
    EXPECT_TRUE(all.find(word) != std::string::npos || text.find(word) >= end_of_kept) << word << " is lost";
  }
}

std::vector<OutputParserOptions> every_options() {
  std::vector<OutputParserOptions> all;
  for (const ToolCallFormat format :
       {ToolCallFormat::kNone, ToolCallFormat::kGlmXml, ToolCallFormat::kQwen3Coder, ToolCallFormat::kGlmMetadata}) {
    for (const bool reasoning : {false, true}) {
      OutputParserOptions options = with_tools(format);
      options.starts_in_reasoning = reasoning;
      all.push_back(options);
      options.tools = nullptr;
      all.push_back(options);
    }
  }
  return all;
}

void check(const std::string& text, std::mt19937& random) {
  SCOPED_TRACE(text);
  for (const OutputParserOptions& options : every_options()) {
    for (const OutputEnd end : {OutputEnd::kStop, OutputEnd::kCut}) {
      expect_sound(text, options, end);
      const OutputDeltas whole = parse_pieces({text}, options, end);
      const size_t middle = text.empty() ? 0 : random() % text.size();
      const std::string_view view = text;
      for (const auto& pieces :
           {cut_every(text, 1), cut_every(text, 2), cut_every(text, 3), cut_at_tags(text), cut_at_random(text, random),
            std::vector<std::string_view>{view.substr(0, middle), view.substr(middle)}}) {
        EXPECT_TRUE(parse_pieces(pieces, options, end) == whole)
            << ::testing::PrintToString(parse_pieces(pieces, options, end)) << "\nwhole:\n"
            << ::testing::PrintToString(whole);
      }
    }
  }
}

TEST(OutputParserProperty, DamagedOutputsOfGlm) {
  OutputMaker maker(1);
  std::mt19937 random(2);
  for (int i = 0; i < 400 && !::testing::Test::HasFailure(); ++i) check(maker.damaged(ToolCallFormat::kGlmXml), random);
}

TEST(OutputParserProperty, DamagedOutputsOfQwen3Coder) {
  OutputMaker maker(3);
  std::mt19937 random(4);
  for (int i = 0; i < 400 && !::testing::Test::HasFailure(); ++i) {
    check(maker.damaged(ToolCallFormat::kQwen3Coder), random);
  }
}

TEST(OutputParserProperty, DamagedOutputsOfGlmMetadata) {
  OutputMaker maker(9);
  std::mt19937 random(10);
  for (int i = 0; i < 400 && !::testing::Test::HasFailure(); ++i) {
    check(maker.damaged(ToolCallFormat::kGlmMetadata), random);
  }
}

TEST(OutputParserProperty, AnythingAfterAnything) {
  OutputMaker maker(5);
  std::mt19937 random(6);
  for (int i = 0; i < 600 && !::testing::Test::HasFailure(); ++i) check(maker.soup(), random);
}

TEST(OutputParserProperty, EveryCutOfSomeOutputs) {
  OutputMaker maker(7);
  for (int i = 0; i < 30 && !::testing::Test::HasFailure(); ++i) {
    expect_same_for_every_cut(maker.damaged(ToolCallFormat::kGlmXml), glm(), OutputEnd::kStop);
    expect_same_for_every_cut(maker.damaged(ToolCallFormat::kQwen3Coder), qwen(), OutputEnd::kStop);
    expect_same_for_every_cut(maker.damaged(ToolCallFormat::kGlmMetadata), glm_metadata(), OutputEnd::kStop);
  }
}

// Cut as a tokenizer cuts it, tags being tokens.
TEST(OutputParserProperty, CutsOfATokenizer) {
  const Tokenizer tokenizer = Tokenizer::from_file(GLIMMER_SOURCE_DIR "/models/demo");
  OutputMaker maker(8);
  for (int i = 0; i < 100; ++i) {
    const std::string text = to_valid_utf8(maker.damaged(ToolCallFormat::kGlmXml));
    SCOPED_TRACE(text);
    StreamDecoder decoder(tokenizer, {.skip_special = false});
    std::vector<std::string> texts;
    for (const int32_t id : tokenizer.encode(text, {.add_special_tokens = false})) texts.push_back(decoder.push(id));
    texts.push_back(decoder.flush());
    const std::vector<std::string_view> pieces(texts.begin(), texts.end());
    ASSERT_EQ(parse_pieces(pieces, {}, OutputEnd::kStop), parse_pieces({text}, {}, OutputEnd::kStop));
    EXPECT_EQ(parse_pieces(pieces, glm(), OutputEnd::kStop), parse_pieces({text}, glm(), OutputEnd::kStop));
  }
}

// Token by token: were all of it read again for each token, this would take minutes.
TEST(OutputParserProperty, LongOutputs) {
  const std::string line = "all work and <no> play\n";
  std::string body;
  while (body.size() < (size_t{1} << 18)) body += line;
  const std::string array = "[\"" + std::string(size_t{1} << 18, 'x') + "\"]";
  const std::string spaces(size_t{1} << 16, ' ');
  const std::string head = "<tool_call>write_file<arg_key>content</arg_key><arg_value>";
  const std::string tail = "</arg_value></tool_call>";
  for (const std::string& text : {body, "<think>" + body, head + body + tail,
                                  "<tool_call>get_weather<arg_key>tags</arg_key><arg_value>" + array + tail,
                                  "<tool_call>now<arg_key>" + body + tail, "a" + spaces + "b"}) {
    EXPECT_TRUE(parse_pieces(cut_every(text, 4), glm(), OutputEnd::kStop) ==
                parse_pieces({text}, glm(), OutputEnd::kStop));
  }
}

// Values that hold tags, and white space where a tag may follow: what was read once is not read again. Were it, each of
// these would take minutes.
TEST(OutputParserProperty, LongValuesFullOfTags) {
  const auto repeated = [](const std::string& piece, size_t bytes) {
    std::string text;
    while (text.size() < bytes) text += piece;
    return text;
  };
  constexpr size_t kBytes = size_t{1} << 18;
  const std::string glm_tags = repeated("</arg_value> x", kBytes);
  const std::string glm_begin = "<tool_call>get_weather<arg_key>";
  const std::string glm_end = "</arg_value></tool_call>";
  const std::string spaces(kBytes, ' ');
  for (const std::string& text :
       {glm_begin + "city</arg_key><arg_value>" + glm_tags + glm_end,
        glm_begin + "tags</arg_key><arg_value>[\"" + glm_tags + "\"]" + glm_end,
        glm_begin + "tags</arg_key><arg_value>['" + glm_tags + "']" + glm_end,
        glm_begin + "tags</arg_key><arg_value>[]" + repeated("]</arg_value>x", kBytes) + glm_end,
        glm_begin + "days</arg_key><arg_value>" + glm_tags + glm_end,
        glm_begin + "unit</arg_key><arg_value>" + repeated("</tool_call>\n<tool_call>", kBytes) + glm_end,
        glm_begin + "note</arg_key><arg_value>" + repeated("<arg_key>city", kBytes) + glm_end,
        glm_begin + "city</arg_key><arg_key>days</arg_key><arg_value>" + glm_tags + glm_end,
        glm_begin + "city</arg_key><arg_value></arg_value>" + spaces + "x" + glm_end,
        glm_begin + "city</arg_key><arg_value></tool_call>" + spaces + "x" + glm_end,
        glm_begin + "city</arg_key><arg_value><arg_key>" + spaces + "x" + glm_end,
        "<tool_call>now</tool_call>" + repeated("\\n", kBytes),
        "a" + repeated("\n<tool_call>now</tool_call>\n", kBytes) + "b",
        "<think>" + repeated("<tool_call>get_weather<arg_key>city</arg_key>", kBytes),
        "<think>" + repeated("<tool_call>get_weather<arg_key>city</arg_key> so ", kBytes)}) {
    EXPECT_TRUE(parse_pieces(cut_every(text, 4), glm(), OutputEnd::kStop) ==
                parse_pieces({text}, glm(), OutputEnd::kStop));
  }
  const std::string qwen_tags = repeated("</parameter>\n</functio", kBytes);
  const std::string qwen_begin = "<tool_call><function=get_weather><parameter=";
  const std::string qwen_end = "\n</parameter></function></tool_call>";
  for (const std::string& text :
       {qwen_begin + "city>" + qwen_tags + qwen_end, qwen_begin + "opts>{'a': '" + qwen_tags + "'}" + qwen_end,
        qwen_begin + "city></parameter>" + spaces + "x" + qwen_end,
        "<think>" + repeated("<function=get_weather><parameter=city>", kBytes)}) {
    EXPECT_TRUE(parse_pieces(cut_every(text, 4), qwen(), OutputEnd::kStop) ==
                parse_pieces({text}, qwen(), OutputEnd::kStop));
  }
  for (const std::string& text : {"write_file\n{\"content\": \"" + repeated("\\n\\\"}", kBytes) + "\"}",
                                  "get_weather\n{\"opts\": {\"a\": [" + repeated("{}, ", kBytes) + "1]}}",
                                  repeated("get_weather\n{\"days\" ", kBytes), "write_file\n" + spaces + "{}"}) {
    EXPECT_TRUE(parse_pieces(cut_every(text, 4), glm_metadata(), OutputEnd::kStop) ==
                parse_pieces({text}, glm_metadata(), OutputEnd::kStop));
  }
}

}  // namespace
}  // namespace glimmer

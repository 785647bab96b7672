#include "source/gguf_tokenizer.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <random>

#include "base/error.h"
#include "base/json.h"
#include "base/mapped_file.h"
#include "base/utf8.h"
#include "source/gguf_pre_type.h"
#include "support/paths.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace glimmer {
namespace {

namespace fs = std::filesystem;

constexpr const char* kDemo = "demo/tokenizer.json";

fs::path demo_file(const char* name) { return testing::source_dir() / "models" / "demo" / name; }

// With four padded rows.
GgufTokenizer demo_gguf() {
  const std::string json = read_file(demo_file("tokenizer.json"));
  const std::string config = read_file(demo_file("tokenizer_config.json"));
  const std::string chat_template = read_file(demo_file("chat_template.jinja"));
  return gguf_tokenizer_of({.tokenizer_json = json,
                            .tokenizer_config_json = config,
                            .chat_template = chat_template,
                            .eos_token_id = {4060, 4067, 4069},
                            .vocab_size = 4100,
                            .model_type = "glm4_moe_lite",
                            .source = kDemo});
}

// A tokenizer of the printable bytes and two merges, "Ġa" and "Ġab", as a file from elsewhere might have it.
class Tiny {
 public:
  explicit Tiny(std::string_view pre) {
    for (int c = 33; c < 127; ++c) add(std::string(1, static_cast<char>(c)), 1);
    add("Ġ", 1);
    add("Ġa", 1);
    add("Ġab", 1);
    add("<s>", 3);
    add("</s>", 3);
    add("<think>", 4);
    for (int i = 0; i < 3; ++i) add(fmt::format("[PAD{}]", texts_.size()), 5);
    gguf.model = "gpt2";
    gguf.pre = pre;
    gguf.merges = {"Ġ a", "Ġa b"};
    gguf.bos = id("<s>");
    gguf.eos = id("</s>");
  }

  int32_t id(std::string_view token) const {
    const auto found = std::find(texts_.begin(), texts_.end(), token);
    return static_cast<int32_t>(found - texts_.begin());
  }
  Tokenizer tokenizer() const { return Tokenizer::from_json(json(), "tiny.gguf"); }
  std::string json() const {
    GgufTokenizer whole = gguf;
    if (whole.tokens.empty()) whole.tokens.assign(texts_.begin(), texts_.end());
    return tokenizer_json_of(whole, "tiny.gguf");
  }
  void add(const std::string& text, int64_t type) {
    texts_.push_back(text);
    gguf.token_type.push_back(type);
  }
  std::vector<std::string>& texts() { return texts_; }

  GgufTokenizer gguf;

 private:
  std::vector<std::string> texts_;
};

void expect_error(ErrorCode code, std::string_view part, const std::function<void()>& action) {
  try {
    action();
    ADD_FAILURE() << "no error, expected: " << part;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_NE(std::string_view(error.what()).find(part), std::string_view::npos) << error.what();
  }
}

// Texts of everything that pre-tokenizers treat apart, and tokens of the vocabulary in random order.
class RandomText {
 public:
  RandomText(const Tokenizer& tokenizer, uint32_t seed) : tokenizer_(tokenizer), random_(seed) {}

  std::string next() {
    std::string text;
    for (size_t pieces = 1 + below(12); pieces > 0; --pieces) append_piece(text);
    return to_valid_utf8(text);
  }

 private:
  size_t below(size_t bound) { return random_() % bound; }

  void append_piece(std::string& text) {
    static const std::vector<std::string> kPieces = {" ",          "  ",      "\n",      "\r\n\r\n", "\t",
                                                     "'s",         "'LL",     "'\u017f", "don't",    "123",
                                                     "4567890",    "!?",      " ...",    "好",       " 现在",
                                                     "é",          "e\u0301", "\u00a0",  "\u3000",   "\u0085",
                                                     "\U0001F600", "٣٤",      "Ⅷ",       "½",        "\u200b",
                                                     "\ufeff",     "ǅ",       "한국어",  "кошка",    "{\"a\": [1, 2]}",
                                                     "<|user|>",   "[gMASK]", "/nothink"};
    switch (below(4)) {
      case 0:
        text += kPieces[below(kPieces.size())];
        return;
      case 1: {
        char32_t code_point = static_cast<char32_t>(1 + below(below(3) == 0 ? 0x10FFFF : 0x2FF));
        if (code_point >= 0xD800 && code_point < 0xE000) code_point = U'x';
        append_utf8(text, code_point);
        return;
      }
      default:
        text += tokenizer_.token_bytes(static_cast<int32_t>(below(static_cast<size_t>(tokenizer_.max_id()) + 1)));
    }
  }

  const Tokenizer& tokenizer_;
  std::mt19937 random_;
};

void expect_same(const Tokenizer& expected, const Tokenizer& found, const std::string& text) {
  const std::vector<int32_t> ids = expected.encode(text);
  ASSERT_EQ(found.encode(text), ids) << text;
  ASSERT_EQ(found.decode(ids), expected.decode(ids));
}

// ---- tokenizer.json to GGUF and back

TEST(GgufTokenizer, DemoThroughKeysAlone) {
  const Tokenizer original = Tokenizer::from_file(demo_file("tokenizer.json"));
  GgufTokenizer gguf = demo_gguf();
  gguf.huggingface_json = {};
  const std::string json = tokenizer_json_of(gguf, "demo.gguf");
  const Tokenizer made = Tokenizer::from_json(json, "demo.gguf");
  EXPECT_EQ(made.vocab_size(), original.vocab_size());
  EXPECT_EQ(made.max_id(), original.max_id());
  RandomText random(original, 1);
  for (int i = 0; i < 500; ++i) expect_same(original, made, random.next());

  const Json before = parse_json(read_file(demo_file("tokenizer.json")), "before");
  const Json after = parse_json(json, "after");
  EXPECT_EQ(before["model"]["vocab"], after["model"]["vocab"]);
  EXPECT_EQ(before["model"]["merges"], after["model"]["merges"]);
  EXPECT_EQ(before["pre_tokenizer"], after["pre_tokenizer"]);
  EXPECT_EQ(before["normalizer"], after["normalizer"]);
  for (const Json& token : before["added_tokens"]) {
    EXPECT_EQ(made.token_to_id(token["content"].get<std::string>()), token["id"].get<int32_t>());
  }
}

TEST(GgufTokenizer, DemoKeys) {
  const GgufTokenizer gguf = demo_gguf();
  EXPECT_EQ(gguf.model, "gpt2");
  EXPECT_EQ(gguf.pre, "qwen2");  // single digits; its ignore_merges changes nothing
  ASSERT_EQ(gguf.tokens.size(), 4100u);
  ASSERT_EQ(gguf.token_type.size(), 4100u);
  EXPECT_EQ(gguf.merges.size(), 3804u);
  EXPECT_EQ(gguf.merges[0], "Ġ \"");
  EXPECT_EQ(gguf.tokens[4099], "[PAD4099]");
  EXPECT_EQ(gguf.token_type[4099], 5);
  EXPECT_EQ(gguf.token_type[100], 1);
  EXPECT_EQ(gguf.tokens[4067], "<|user|>");
  EXPECT_EQ(gguf.token_type[4067], 3);
  EXPECT_EQ(gguf.tokens[4078], "<|code_prefix|>");
  EXPECT_EQ(gguf.token_type[4078], 3);  // as converters have it, though the flag "special" is false
  EXPECT_EQ(gguf.tokens[4081], "<think>");
  EXPECT_EQ(gguf.token_type[4081], 4);
  EXPECT_EQ(gguf.bos, 4062);  // [gMASK]
  EXPECT_EQ(gguf.eos, 4060);
  EXPECT_EQ(gguf.unknown, 4060);
  EXPECT_EQ(gguf.padding, 4060);
  EXPECT_EQ(gguf.eot, 4067);
  EXPECT_EQ(gguf.eom, 4069);
  EXPECT_EQ(gguf.add_bos, std::nullopt);
  EXPECT_EQ(gguf.chat_template, read_file(demo_file("chat_template.jinja")));
  EXPECT_EQ(gguf_eos_token_ids(gguf, "demo.gguf"), (std::vector<int32_t>{4060, 4067, 4069}));
  EXPECT_TRUE(gguf.losses.empty());
}

TEST(GgufTokenizer, TheOriginalTextComesBack) {
  const GgufTokenizer gguf = demo_gguf();
  EXPECT_EQ(tokenizer_json_of(gguf, "demo.gguf"), read_file(demo_file("tokenizer.json")));
}

TEST(GgufTokenizer, ConfigHasTheSpecialTokens) {
  const Json config = parse_json(tokenizer_config_json_of(demo_gguf(), "demo.gguf"), "config");
  EXPECT_EQ(config["eos_token"], "<|endoftext|>");
  EXPECT_EQ(config["pad_token"], "<|endoftext|>");
  EXPECT_FALSE(config.contains("bos_token"));  // GLM's own files have none
  Tiny tiny("llama-bpe");
  tiny.gguf.tokens.assign(tiny.texts().begin(), tiny.texts().end());
  const Json llama = parse_json(tokenizer_config_json_of(tiny.gguf, "tiny.gguf"), "config");
  EXPECT_EQ(llama["bos_token"], "<s>");
  EXPECT_EQ(llama["eos_token"], "</s>");
}

TEST(GgufTokenizer, MetadataThroughAFile) {
  const GgufTokenizer gguf = demo_gguf();
  const std::string header = gguf_layout(gguf_tokenizer_metadata(gguf), {}).header;
  const GgufContent content = parse_gguf(std::as_bytes(std::span(header)), "demo.gguf");
  const auto read = read_gguf_tokenizer(content.metadata);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->tokens, gguf.tokens);
  EXPECT_EQ(read->token_type, gguf.token_type);
  EXPECT_EQ(read->merges, gguf.merges);
  EXPECT_EQ(read->pre, gguf.pre);
  EXPECT_EQ(read->bos, gguf.bos);
  EXPECT_EQ(read->eom, gguf.eom);
  EXPECT_EQ(read->chat_template, gguf.chat_template);
  EXPECT_EQ(read->huggingface_json, gguf.huggingface_json);
  EXPECT_EQ(tokenizer_json_of(*read, "demo.gguf"), gguf.huggingface_json);
}

// The name of a template becomes a file's when the model is written as a folder.
TEST(GgufTokenizer, ATemplateNameThatCouldLeaveTheFolderIsRefused) {
  for (const std::string& name :
       std::vector<std::string>{"../../evil", "a/b", ".", "..", "x y", std::string("x\0y", 3)}) {
    const std::vector<GgufKeyValue> keys = {{"tokenizer.ggml.model", std::string("gpt2")},
                                            {"tokenizer.chat_template." + name, std::string("hi")}};
    const std::string header = gguf_layout(keys, {}).header;
    const GgufContent content = parse_gguf(std::as_bytes(std::span(header)), "evil.gguf");
    try {
      read_gguf_tokenizer(content.metadata);
      ADD_FAILURE() << name;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("expected a template's name"), std::string::npos) << error.what();
    }
  }
}

TEST(GgufTokenizer, NoTokenizerInTheMetadata) { EXPECT_FALSE(read_gguf_tokenizer(GgufMetadata({}, "none.gguf"))); }

// ---- what each pre type makes of a text

struct Pieces {
  const char* pre;
  const char* text;
  std::vector<std::string> tokens;
};

TEST(GgufTokenizer, PreTypes) {
  const std::vector<Pieces> cases = {
      {"glm4", "a12345 ab", {"a", "1", "2", "3", "4", "5", "Ġab"}},
      {"llama-bpe", " ab", {"<s>", "Ġab"}},
      {"llama3", " ab", {"<s>", "Ġab"}},
      {"llama-v3", " ab", {"<s>", "Ġab"}},
      {"smaug-bpe", " ab", {"Ġab"}},
      {"smollm", " ab", {"Ġab"}},
      {"qwen2", " ab", {"Ġab"}},
      {"gpt-2", " ab", {"Ġab"}},
      {"chatglm-bpe", " ab<s>", {"Ġab", "<s>"}},
  };
  for (const Pieces& c : cases) {
    const Tokenizer tokenizer = Tiny(c.pre).tokenizer();
    std::vector<std::string> tokens;
    for (const int32_t id : tokenizer.encode(c.text)) tokens.emplace_back(*tokenizer.id_to_token(id));
    EXPECT_EQ(tokens, c.tokens) << c.pre;
  }
}

// Digits: a merge of two of them shows whether they stood in one piece.
TEST(GgufTokenizer, DigitsOfPreTypes) {
  const auto count = [](const char* pre) {
    Tiny tiny(pre);
    tiny.gguf.add_bos = false;
    tiny.texts()[static_cast<size_t>(tiny.id("Ġa"))] = "12";
    tiny.texts()[static_cast<size_t>(tiny.id("Ġab"))] = "Ġ1";
    tiny.gguf.merges = {"1 2", "Ġ 1"};
    return tiny.tokenizer().encode("12 1").size();
  };
  EXPECT_EQ(count("glm4"), 3u);    // 12, Ġ, 1: a space never joins digits
  EXPECT_EQ(count("qwen2"), 4u);   // 1, 2, Ġ, 1
  EXPECT_EQ(count("smollm"), 4u);  // the same
  EXPECT_EQ(count("gpt-2"), 2u);   // 12, Ġ1
}

TEST(GgufTokenizer, IgnoreMergesOfPreTypes) {
  const auto count = [](const char* pre) {
    Tiny tiny(pre);
    tiny.gguf.add_bos = false;
    tiny.gguf.merges = {"Ġ a"};  // none leads to Ġab
    return tiny.tokenizer().encode(" ab").size();
  };
  for (const char* pre : {"glm4", "chatglm-bpe", "llama-bpe"}) EXPECT_EQ(count(pre), 1u) << pre;
  for (const char* pre : {"smaug-bpe", "qwen2", "smollm", "gpt-2"}) EXPECT_EQ(count(pre), 2u) << pre;
}

TEST(GgufTokenizer, TokenTypes) {
  const Tiny tiny("gpt-2");
  const Tokenizer tokenizer = tiny.tokenizer();
  EXPECT_TRUE(tokenizer.is_special(tiny.id("<s>")));
  EXPECT_FALSE(tokenizer.is_special(tiny.id("<think>")));
  EXPECT_EQ(tokenizer.encode("<think>"), std::vector<int32_t>{tiny.id("<think>")});
  EXPECT_EQ(tokenizer.max_id(), tiny.id("<think>"));  // padded rows are no tokens
}

// SmolLM2 has its special tokens first; a row of padding may be anywhere.
TEST(GgufTokenizer, AddedTokensAmongTheOthers) {
  Tiny tiny("gpt-2");
  tiny.gguf.token_type[0] = 3;  // "!"
  tiny.texts()[1] = "[PAD1]";   // "\""
  tiny.gguf.token_type[1] = 5;
  const Tokenizer tokenizer = tiny.tokenizer();
  EXPECT_TRUE(tokenizer.is_special(0));
  EXPECT_EQ(tokenizer.encode("!<s>"), (std::vector<int32_t>{0, tiny.id("<s>")}));
  EXPECT_EQ(tokenizer.id_to_token(1), std::nullopt);
}

TEST(GgufTokenizer, BosAndEosAroundText) {
  Tiny tiny("gpt-2");
  tiny.gguf.add_bos = true;
  tiny.gguf.add_eos = true;
  const std::vector<int32_t> around = {tiny.id("<s>"), tiny.id("Ġa"), tiny.id("</s>")};
  EXPECT_EQ(tiny.tokenizer().encode(" a"), around);
  EXPECT_EQ(tiny.tokenizer().encode(" a", {.add_special_tokens = false}), std::vector<int32_t>{around[1]});
  tiny.gguf.pre = "llama-bpe";
  tiny.gguf.add_bos = false;
  tiny.gguf.add_eos = std::nullopt;
  EXPECT_EQ(tiny.tokenizer().encode(" a"), std::vector<int32_t>{around[1]});
}

TEST(GgufTokenizer, AwkwardTokensAreQuoted) {
  Tiny tiny("gpt-2");
  tiny.texts()[0] = "a\"b\\c\n\x01";
  EXPECT_EQ(tiny.tokenizer().id_to_token(0), tiny.texts()[0]);
}

// ---- what is refused

TEST(GgufTokenizer, RefusesModelsAndPreTypes) {
  Tiny tiny("gpt-2");
  tiny.gguf.model = "llama";
  expect_error(ErrorCode::kUnsupported, "tokenizer.ggml.model: \"llama\"; known is \"gpt2\"", [&] { tiny.json(); });
  tiny.gguf.model = "gpt2";
  tiny.gguf.pre = "tekken";
  expect_error(ErrorCode::kUnsupported, "tokenizer.ggml.pre: \"tekken\"; known are glm4, ", [&] { tiny.json(); });
  tiny.gguf.pre = "default";
  expect_error(ErrorCode::kUnsupported, "tokenizer.ggml.pre: \"default\"", [&] { tiny.json(); });
  tiny.gguf.pre = std::nullopt;
  expect_error(ErrorCode::kUnsupported, "tokenizer.ggml.pre: the key is absent", [&] { tiny.json(); });
  tiny.gguf.pre = "gpt-2";
  tiny.gguf.add_space_prefix = true;
  expect_error(ErrorCode::kUnsupported, "add_space_prefix", [&] { tiny.json(); });
}

TEST(GgufTokenizer, RefusesMalformedArrays) {
  const auto refused = [](ErrorCode code, std::string_view part, const std::function<void(Tiny&)>& change) {
    Tiny tiny("llama-bpe");
    change(tiny);
    expect_error(code, part, [&] { tiny.json(); });
  };
  const auto invalid = [&](std::string_view part, const std::function<void(Tiny&)>& change) {
    refused(ErrorCode::kInvalid, part, change);
  };
  invalid("tokenizer.ggml.tokens[3]: \"$", [](Tiny& t) { t.texts()[3] = "$\xFF"; });
  invalid("tokenizer.ggml.tokens[32]: \"A\" is token 3 already", [](Tiny& t) { t.texts()[3] = "A"; });
  invalid("tokenizer.ggml.tokens[3]: the token is empty", [](Tiny& t) { t.texts()[3] = ""; });
  invalid("tokenizer.ggml.token_type: 102 entries, but tokenizer.ggml.tokens has 103",
          [](Tiny& t) { t.gguf.token_type.pop_back(); });
  invalid("tokenizer.ggml.token_type[0]: 7", [](Tiny& t) { t.gguf.token_type[0] = 7; });
  invalid("tokenizer.ggml.token_type[0]: -1", [](Tiny& t) { t.gguf.token_type[0] = -1; });
  refused(ErrorCode::kUnsupported, "token_type[0]: 6 (byte)", [](Tiny& t) { t.gguf.token_type[0] = 6; });
  invalid("tokenizer.ggml.merges: there are no merges", [](Tiny& t) { t.gguf.merges.clear(); });
  for (const char* merge : {"ab", "a b c", " a", "a ", " ", ""}) {
    invalid("tokenizer.ggml.merges[1]: expected two tokens", [&](Tiny& t) { t.gguf.merges[1] = merge; });
  }
  invalid("tokenizer.ggml.merges[0]", [](Tiny& t) { t.gguf.merges[0] = "a \xC3"; });
  invalid("tokenizer.ggml.eos_token_id: 103 is outside [0, 103)", [](Tiny& t) { t.gguf.eos = 103; });
  invalid("tokenizer.ggml.bos_token_id: -1", [](Tiny& t) { t.gguf.bos = -1; });
  invalid("tokenizer.ggml.eot_token_id: 4294967295", [](Tiny& t) { t.gguf.eot = 4294967295; });
  invalid("tokenizer.ggml.add_bos_token: true, but there is no", [](Tiny& t) {
    t.gguf.add_bos = true;
    t.gguf.bos = std::nullopt;
  });
  Tiny unknown("gpt-2");
  unknown.gguf.merges[0] = "Ġ zz";
  expect_error(ErrorCode::kInvalid, "model.merges[0]", [&] { unknown.tokenizer(); });
}

TEST(GgufTokenizer, RefusesAnotherTokenizerAsTheOriginalText) {
  GgufTokenizer gguf = demo_gguf();
  const std::string_view original = gguf.huggingface_json;
  std::string changed(original);
  const auto check = [&](std::string_view part) {
    expect_error(ErrorCode::kInvalid, part, [&] { tokenizer_json_of(gguf, "demo.gguf"); });
  };
  gguf.huggingface_json = "{\"model\": {}}";
  check("tokenizer.huggingface.json: expected an object model.vocab");
  gguf.huggingface_json = original.substr(0, original.size() / 2);
  check("tokenizer.huggingface.json: not a JSON document");
  gguf.huggingface_json = original;
  gguf.tokens[7] = "other";
  check("tokenizer.huggingface.json: token 7 is ");
  gguf = demo_gguf();
  gguf.tokens.resize(4000);
  check("is not in [0, 4000), the ids of tokenizer.ggml.tokens");
  gguf = demo_gguf();
  gguf.tokens.push_back("more");
  check("no token has the id 4100");
}

// ---- tokenizer.json that GGUF has no words for

Json demo_json() { return parse_json(read_file(demo_file("tokenizer.json")), "demo"); }

GgufTokenizer gguf_of(const Json& json, std::string_view model_type, std::vector<int32_t> eos = {}) {
  const std::string text = dump_json(json);
  return gguf_tokenizer_of({.tokenizer_json = text,
                            .eos_token_id = std::move(eos),
                            .vocab_size = 4096,
                            .model_type = model_type,
                            .source = kDemo});
}

TEST(GgufTokenizer, PreTypeIsRecognised) {
  Json json = demo_json();
  Json& regex = json["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"];
  regex = find_gguf_pre_type("glm4")->split;
  EXPECT_EQ(gguf_of(json, "glm4").pre, "glm4");
  EXPECT_EQ(gguf_of(json, "chatglm").pre, "chatglm-bpe");
  EXPECT_EQ(gguf_of(json, "llama").pre, "llama-bpe");
  EXPECT_EQ(gguf_of(json, "llama").add_bos, false);  // it has none, and llama.cpp would put one
  json["model"]["ignore_merges"] = false;
  EXPECT_EQ(gguf_of(json, "llama").pre, "smaug-bpe");
  EXPECT_EQ(gguf_of(json, "glm4").pre, "smaug-bpe");
  const Json byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}};
  json["pre_tokenizer"] = byte_level;
  EXPECT_EQ(gguf_of(json, "gpt2").pre, "gpt-2");
  json["pre_tokenizer"] = {{"type", "Sequence"},
                           {"pretokenizers", {{{"type", "Digits"}, {"individual_digits", true}}, byte_level}}};
  EXPECT_EQ(gguf_of(json, "llama").pre, "smollm");
  json = demo_json();
  json["model"]["ignore_merges"] = false;
  json["normalizer"] = {{"type", "NFC"}};
  EXPECT_EQ(gguf_of(json, "qwen3").pre, "qwen2");
}

TEST(GgufTokenizer, EveryPreTypeIsWrittenAsWhatItWasRead) {
  for (const GgufPreType& type : gguf_pre_types()) {
    if (type.name == "llama3" || type.name == "llama-v3") continue;  // other names of llama-bpe
    const Tiny tiny(type.name);
    const std::string json = tiny.json();
    const std::string_view model_type = type.name == "glm4" ? "glm4_moe" : type.name == "chatglm-bpe" ? "chatglm" : "x";
    const GgufTokenizer gguf =
        gguf_tokenizer_of({.tokenizer_json = json, .vocab_size = 103, .model_type = model_type, .source = "tiny"});
    EXPECT_EQ(gguf.pre, type.name);
    EXPECT_EQ(gguf.token_type, tiny.gguf.token_type);
    EXPECT_EQ(gguf.merges, tiny.gguf.merges);
    if (type.adds_bos) {
      EXPECT_EQ(gguf.add_bos, true);
      EXPECT_EQ(gguf.bos, tiny.gguf.bos);
    }
  }
}

TEST(GgufTokenizer, RefusesWhatGgufCannotSay) {
  const auto refused = [](std::string_view part, const std::function<void(Json&)>& change) {
    Json json = demo_json();
    change(json);
    expect_error(ErrorCode::kUnsupported, part, [&] { gguf_of(json, "glm4"); });
  };
  refused("Split by the regular expression \\w+",
          [](Json& json) { json["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "\\w+"; });
  refused("pre_tokenizer: ", [](Json& json) { json["pre_tokenizer"]["pretokenizers"][0]["behavior"] = "Removed"; });
  refused("no ByteLevel", [](Json& json) { json["pre_tokenizer"] = nullptr; });
  refused("model.ignore_merges: true, with this pre_tokenizer and tokens that merges do not make",
          [](Json& json) { json["model"]["merges"].erase(3000); });
  refused("normalizer: \"Lowercase\"", [](Json& json) { json["normalizer"] = {{"type", "Lowercase"}}; });
  refused("normalizer: \"NFC\"", [](Json& json) {
    json["normalizer"] = {{"type", "NFC"}};
    json["pre_tokenizer"] = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}};
  });
  refused("model.type: \"Unigram\"", [](Json& json) { json["model"]["type"] = "Unigram"; });
  refused("model.byte_fallback", [](Json& json) { json["model"]["byte_fallback"] = true; });
  refused("decoder", [](Json& json) { json["decoder"] = nullptr; });
  refused("post_processor: \"BertProcessing\"", [](Json& json) {
    json["post_processor"] = {{"type", "BertProcessing"}};
  });
  refused("a token with a space", [](Json& json) { json["model"]["merges"][0] = {"a b", "c"}; });
}

TEST(GgufTokenizer, RefusesMalformedTokenizerJson) {
  const auto refused = [](std::string_view part, const std::function<void(Json&)>& change) {
    Json json = demo_json();
    change(json);
    expect_error(ErrorCode::kInvalid, part, [&] { gguf_of(json, "glm4"); });
  };
  refused("model.vocab: expected an object", [](Json& json) { json["model"]["vocab"] = 1; });
  refused("has the id 4096, but vocab_size is 4096", [](Json& json) { json["model"]["vocab"]["zzzz"] = 4096; });
  refused("has the id 1, which is that of", [](Json& json) { json["model"]["vocab"]["zzzz"] = 1; });
  refused("the id of \"zzzz\": expected a number", [](Json& json) { json["model"]["vocab"]["zzzz"] = -1; });
  refused("has the ids 4090 and 4064", [](Json& json) { json["model"]["vocab"]["<sop>"] = 4090; });
  refused("model.merges[0]", [](Json& json) { json["model"]["merges"][0] = {"a"}; });
  refused("model.merges: expected an array", [](Json& json) { json["model"].erase("merges"); });
  refused("added_tokens: expected an array", [](Json& json) { json["added_tokens"] = 5; });
  expect_error(ErrorCode::kInvalid, "eos_token_id 4096", [] { gguf_of(demo_json(), "glm4", {4096}); });
  expect_error(ErrorCode::kInvalid, "not a JSON document",
               [] { gguf_tokenizer_of({.tokenizer_json = "{", .vocab_size = 1, .source = "x"}); });
}

TEST(GgufTokenizer, EndIdsFindTheirPlaces) {
  const GgufTokenizer gguf = gguf_of(demo_json(), "llama", {5, 6, 7, 8});
  EXPECT_EQ(gguf.eos, 5);
  EXPECT_EQ(gguf.eot, 6);
  EXPECT_EQ(gguf.eom, 7);
  ASSERT_EQ(gguf.losses.size(), 1u);
  EXPECT_NE(gguf.losses[0].find("8"), std::string::npos);
}

// ---- the published tokenizers; they are not in the repository

fs::path shared_data() {
  if (const char* path = std::getenv("GLIMMER_SHARED_DATA")) return path;
  return fs::path(GLIMMER_SOURCE_DIR).parent_path() / "shared" / "data";
}

class GgufTokenizerGolden : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const fs::path packed = shared_data() / "tokenizers" / GetParam() / "tokenizer.json.xz";
    if (!fs::exists(packed)) GTEST_SKIP() << "no " << packed << " (set GLIMMER_SHARED_DATA)";
    const std::string command = "xz -dc '" + packed.string() + "'";
    FILE* pipe = popen(command.c_str(), "r");
    ASSERT_NE(pipe, nullptr);
    std::vector<char> buffer(1 << 20);
    for (size_t got = 0; (got = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;)
      json_.append(buffer.data(), got);
    ASSERT_EQ(pclose(pipe), 0) << command;
  }

  std::string json_;
};

TEST_P(GgufTokenizerGolden, ThroughKeysAlone) {
  const std::string name = GetParam();
  const int64_t vocab_size = name == "glm-4.7-flash" ? 154880 : 151552;
  const int32_t first_added = name == "glm-4.7-flash" ? 154820 : 151329;
  const char* model_type = name == "glm-4.7-flash" ? "glm4_moe_lite" : name == "glm-4.5" ? "glm4_moe" : "glm4";
  const Tokenizer original = Tokenizer::from_json(json_, name);
  const auto start = std::chrono::steady_clock::now();
  GgufTokenizer gguf = gguf_tokenizer_of({.tokenizer_json = json_,
                                          .eos_token_id = {first_added, first_added + 7, first_added + 9},
                                          .vocab_size = vocab_size,
                                          .model_type = model_type,
                                          .source = name});
  const auto written = std::chrono::steady_clock::now();
  gguf.huggingface_json = {};
  const std::string json = tokenizer_json_of(gguf, name);
  const auto text = std::chrono::steady_clock::now();
  const Tokenizer made = Tokenizer::from_json(json, name);
  const auto read = std::chrono::steady_clock::now();
  const auto ms = [](auto from, auto to) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(to - from).count();
  };
  std::printf("%s: to GGUF's keys %ld ms; tokenizer.json of them %ld ms, read in %ld ms\n", name.c_str(),
              static_cast<long>(ms(start, written)), static_cast<long>(ms(written, text)),
              static_cast<long>(ms(text, read)));
  EXPECT_EQ(gguf.pre, "glm4");
  EXPECT_EQ(gguf.eos, first_added);
  EXPECT_EQ(gguf.eot, first_added + 7);
  EXPECT_EQ(gguf.eom, first_added + 9);
  EXPECT_EQ(gguf.bos, name == "glm-4-0414" ? first_added : first_added + 2);
  EXPECT_EQ(made.vocab_size(), original.vocab_size());
  EXPECT_EQ(made.max_id(), original.max_id());

  std::ifstream file(shared_data() / "tokenizers" / "golden_encodings.jsonl");
  for (std::string line; std::getline(file, line);) {
    expect_same(original, made, parse_json(line, "golden_encodings.jsonl")["text"].get<std::string>());
  }
  RandomText random(original, 2);
  for (int i = 0; i < 20'000 && !HasFatalFailure(); ++i) expect_same(original, made, random.next());
}

INSTANTIATE_TEST_SUITE_P(Published, GgufTokenizerGolden, ::testing::Values("glm-4.7-flash", "glm-4.5", "glm-4-0414"),
                         [](const auto& each) {
                           std::string name = each.param;
                           for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
                           return name;
                         });

// A real model's file: $GLIMMER_SMOLLM2_GGUF names SmolLM2-135M-Instruct in any quantisation.
TEST(GgufTokenizer, SmolLm2) {
  const char* path = std::getenv("GLIMMER_SMOLLM2_GGUF");
  if (path == nullptr) GTEST_SKIP() << "set GLIMMER_SMOLLM2_GGUF to the path of SmolLM2-135M-Instruct";
  const GgufFile file{fs::path(path)};
  const auto gguf = read_gguf_tokenizer(file.metadata());
  ASSERT_TRUE(gguf);
  EXPECT_EQ(gguf->pre, "smollm");
  const Tokenizer tokenizer = Tokenizer::from_json(tokenizer_json_of(*gguf, path), path);
  // From Hugging Face's `tokenizers` with the published tokenizer.json.
  EXPECT_EQ(tokenizer.encode("Hello world! 123"), (std::vector<int32_t>{19556, 905, 17, 216, 33, 34, 35}));
  EXPECT_EQ(tokenizer.encode("  multiple   spaces"), (std::vector<int32_t>{216, 2701, 256, 5600}));
  EXPECT_EQ(tokenizer.encode("<|im_start|>user\n").front(), 1);
  EXPECT_EQ(gguf_eos_token_ids(*gguf, path), std::vector<int32_t>{2});
  const ChatTemplate chat_template(gguf->chat_template, "chat_template.jinja");
  EXPECT_EQ(
      chat_template.render({{"messages", {{{"role", "user"}, {"content", "Hi"}}}}, {"add_generation_prompt", true}}),
      "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
      "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
}

}  // namespace
}  // namespace glimmer

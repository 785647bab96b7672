// tokenizer.json to .t and back, and what a .t of Distributed Llama's own converter becomes.
#include "source/dllama_tokenizer_json.h"

#include <gmock/gmock.h>

#include "base/error.h"
#include "base/json.h"
#include "base/mapped_file.h"
#include "source/dllama_merges.h"
#include "support/paths.h"
#include "text/tokenizer.h"

namespace glimmer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::filesystem::path golden(std::string_view name) { return testing::source_dir() / "tests/source/dllama" / name; }

DllamaTokenizer read_t(const std::filesystem::path& path) {
  const MappedFile file(path);
  return parse_dllama_tokenizer(file.bytes(), path.string());
}

// Through the file's bytes.
DllamaTokenizer written(const HfTokenizerText& hf) {
  return parse_dllama_tokenizer(encode_dllama_tokenizer(dllama_tokenizer_of(hf)), "x.t");
}

Json extension_of(const DllamaTokenizer& tokenizer) { return parse_json(tokenizer.extension.value(), "extension"); }

template <typename F>
std::string message_of(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(DllamaTokenizerJson, WritesWhatDistributedLlamasConverterWrites) {
  const std::string json = read_file(golden("tokenizer.json"));
  const DllamaTokenizer converted = read_t(golden("tokenizer.t"));
  const DllamaTokenizer ours = written({.tokenizer_json = json,
                                        .tokenizer_config_json = R"({"bos_token": "<|bos|>", "add_bos_token": false})",
                                        .chat_template = *converted.chat_template,
                                        .eos_token_id = {291, 292},
                                        .source = "x"});
  ASSERT_EQ(ours.tokens.size(), converted.tokens.size());
  for (size_t id = 0; id < ours.tokens.size(); ++id) {
    EXPECT_EQ(ours.tokens[id].bytes, converted.tokens[id].bytes) << id;
    EXPECT_EQ(ours.tokens[id].score, converted.tokens[id].score) << id;
  }
  EXPECT_EQ(ours.bos_id, converted.bos_id);
  EXPECT_EQ(ours.eos_ids, converted.eos_ids);
  EXPECT_EQ(ours.add_bos, converted.add_bos);
  EXPECT_EQ(ours.chat_template, converted.chat_template);
  // And the same bytes but for what is behind the last token.
  DllamaTokenizer plain = ours;
  plain.extension.reset();
  const MappedFile file(golden("tokenizer.t"));
  EXPECT_EQ(encode_dllama_tokenizer(plain), std::vector<std::byte>(file.bytes().begin(), file.bytes().end()));
}

TEST(DllamaTokenizerJson, NothingIsLostThereAndBack) {
  const auto demo = testing::source_dir() / "models/demo";
  for (const auto& path : {golden("tokenizer.json"), demo / "tokenizer.json"}) {
    const std::string json = read_file(path);
    const DllamaTokenizer tokenizer = written({.tokenizer_json = json, .source = "x"});
    // Both rules fit the small one, and the first is taken.
    EXPECT_EQ(extension_of(tokenizer)["merges"], path.parent_path() == demo ? "by_rank" : "all_splits") << path;
    EXPECT_FALSE(extension_of(tokenizer)["tokenizer"]["model"].contains("merges"));
    const std::string again = tokenizer_json_of(tokenizer, "x.t");
    EXPECT_EQ(parse_json(again, "again"), parse_json(json, "json")) << path;
  }
}

TEST(DllamaTokenizerJson, TheTokenizerEncodesAsBefore) {
  const std::string json = read_file(testing::source_dir() / "models/demo/tokenizer.json");
  const auto before = Tokenizer::from_json(json, "before");
  const auto after =
      Tokenizer::from_json(tokenizer_json_of(written({.tokenizer_json = json, .source = "x"}), "x.t"), "after");
  const std::string text = "[gMASK]<sop><|user|>\nWhat is 12 + 345?  naïve 你好\n<|assistant|>";
  EXPECT_EQ(after.encode(text), before.encode(text));
  EXPECT_GT(before.encode(text).size(), 10U);
}

// Bytes, "ab", "bc", "abc" and "<s>" among them, in the order of ids.
std::string tiny_json(std::string_view merges, std::string_view extra = "") {
  return fmt::format(
      R"({{"version":"1.0","truncation":null,"added_tokens":[{{"id":6,"content":"<s>","single_word":false,"lstrip":false,)"
      R"("rstrip":false,"normalized":false,"special":true}}],"normalizer":null,"pre_tokenizer":{{"type":"ByteLevel",)"
      R"("add_prefix_space":false,"trim_offsets":true,"use_regex":true}},"post_processor":null,"decoder":{{"type":)"
      R"("ByteLevel"}},"model":{{"type":"BPE","ignore_merges":true,"vocab":{{"a":0,"b":1,"c":2,"ab":3,"bc":4,"abc":5{}}},)"
      R"("merges":{}}}}})",
      extra, merges);
}

TEST(DllamaTokenizerJson, MergesAreFoundAgainByEitherRuleOrKeptAsTheyAre) {
  const std::string all = R"([["a","b"],["b","c"],["a","bc"],["ab","c"]])";
  const std::string ranked = R"([["a","b"],["b","c"],["ab","c"]])";
  const std::string neither = R"([["b","c"],["a","b"],["ab","c"]])";
  const std::string spelt = R"(["a b","b c","ab c"])";
  const auto rule = [](const std::string& merges) {
    const std::string json = tiny_json(merges);
    const DllamaTokenizer tokenizer = written({.tokenizer_json = json, .source = "x"});
    EXPECT_EQ(parse_json(tokenizer_json_of(tokenizer, "x.t"), "again")["model"]["vocab"],
              parse_json(json, "json")["model"]["vocab"]);
    return std::pair(extension_of(tokenizer).value("merges", Json()),
                     parse_json(tokenizer_json_of(tokenizer, "x.t"), "again")["model"]["merges"]);
  };
  EXPECT_EQ(rule(all), (std::pair<Json, Json>("all_splits", parse_json(all, ""))));
  EXPECT_EQ(rule(ranked), (std::pair<Json, Json>("by_rank", parse_json(ranked, ""))));
  EXPECT_EQ(rule(neither), (std::pair<Json, Json>(nullptr, parse_json(neither, ""))));
  EXPECT_EQ(rule(spelt), (std::pair<Json, Json>("by_rank", parse_json(ranked, ""))));
}

TEST(DllamaTokenizerJson, TokensThatTheirBytesDoNotSpellKeepTheirText) {
  // U+2581 is no character of a byte; é is one, and stands for byte 0xE9.
  std::string json = tiny_json("[]", R"(,"▁x":6,"é":7)");
  json.replace(json.find("\"id\":6"), 6, "\"id\":8");
  const DllamaTokenizer tokenizer = written({.tokenizer_json = json, .source = "x"});
  EXPECT_EQ(tokenizer.tokens[6].bytes, "▁x");
  EXPECT_EQ(tokenizer.tokens[7].bytes, "\xE9");
  EXPECT_EQ(tokenizer.tokens[8].bytes, "<s>");
  EXPECT_EQ(extension_of(tokenizer)["tokens"], parse_json(R"([[6,"▁x"]])", ""));
  EXPECT_EQ(parse_json(tokenizer_json_of(tokenizer, "x.t"), "again"), parse_json(json, "json"));
}

TEST(DllamaTokenizerJson, ConfigAndTemplateTravel) {
  const std::string json = tiny_json("[]");
  const std::string config = R"({"bos_token": {"content": "<s>"}, "model_max_length": 77, "chat_template": "T"})";
  const DllamaTokenizer tokenizer = written({.tokenizer_json = json, .tokenizer_config_json = config, .source = "x"});
  EXPECT_EQ(tokenizer.chat_template, "T");
  EXPECT_EQ(tokenizer.bos_id, 6);
  EXPECT_EQ(tokenizer.add_bos, false);  // no post_processor puts it there
  EXPECT_EQ(bos_token_id_of(tokenizer, "x.t"), 6);
  EXPECT_EQ(parse_json(tokenizer_config_json_of(tokenizer, "x.t").value(), ""),
            parse_json(R"({"bos_token": {"content": "<s>"}, "model_max_length": 77})", ""));
}

TEST(DllamaTokenizerJson, WithoutABosTokenTheSpecialTokensBeginBehindTheVocabulary) {
  const DllamaTokenizer tokenizer = written({.tokenizer_json = tiny_json("[]"), .source = "x"});
  EXPECT_EQ(tokenizer.bos_id, 6);
  EXPECT_EQ(tokenizer.add_bos, false);
  EXPECT_EQ(bos_token_id_of(tokenizer, "x.t"), std::nullopt);
  EXPECT_EQ(tokenizer_config_json_of(tokenizer, "x.t"), std::nullopt);
  EXPECT_EQ(generation_config_json_of(tokenizer, "x.t"), std::nullopt);
}

TEST(DllamaTokenizerJson, RefusesWhatAFileHasNoRoomFor) {
  const auto refusal = [](const std::string& json, std::vector<int32_t> eos = {}) {
    return message_of([&] { dllama_tokenizer_of({.tokenizer_json = json, .eos_token_id = eos, .source = "x"}); });
  };
  const std::string good = tiny_json("[]");
  const auto with = [&](std::string_view from, std::string_view to) {
    std::string json = good;
    json.replace(json.find(from), from.size(), to);
    return json;
  };
  EXPECT_EQ(refusal(good), "");
  EXPECT_THAT(refusal(with("\"abc\":5", "\"abc\":7")), HasSubstr("each id from 0 on once"));
  EXPECT_THAT(refusal(with("\"abc\":5", "\"abc\":4")), HasSubstr("each id from 0 on once"));
  EXPECT_THAT(refusal(with("\"abc\":5", "\"abc\":-1")), HasSubstr("expected an id"));
  EXPECT_THAT(refusal(with("\"abc\":5", "\"\":5")), HasSubstr("no empty token"));
  EXPECT_THAT(refusal(with("\"id\":6", "\"id\":9")), HasSubstr("no gaps"));
  EXPECT_THAT(refusal(with("\"type\":\"BPE\"", "\"type\":\"Unigram\"")), HasSubstr("known is BPE"));
  EXPECT_THAT(refusal("[]"), HasSubstr("expected an object with model"));
  EXPECT_THAT(refusal("{\"model\": {}}"), HasSubstr("model.vocab"));
  EXPECT_THAT(refusal(good, {7}), HasSubstr("eos_token_id 7"));
}

TEST(DllamaTokenizerJson, RefusesAnExtensionThatDoesNotFit) {
  const DllamaTokenizer good = written({.tokenizer_json = tiny_json("[]"), .source = "x"});
  const auto refusal = [&](const std::string& extension) {
    DllamaTokenizer bad = good;
    bad.extension = extension;
    return message_of([&] { tokenizer_json_of(bad, "x.t"); });
  };
  const std::string model = R"("tokenizer": {"model": {"type": "BPE"}})";
  EXPECT_EQ(refusal("{\"vocab_size\": 6, " + model + "}"), "");
  EXPECT_THAT(refusal("{"), HasSubstr("malformed JSON"));
  EXPECT_THAT(refusal("{}"), HasSubstr("expected an object with tokenizer.model"));
  EXPECT_THAT(refusal("{" + model + "}"), HasSubstr("vocab_size"));
  EXPECT_THAT(refusal("{\"vocab_size\": 8, " + model + "}"),
              HasSubstr("vocab_size: expected a number of tokens up to 7"));
  EXPECT_THAT(refusal("{\"vocab_size\": 6, \"tokens\": [[6, \"x\"]], " + model + "}"), HasSubstr("below 6"));
  EXPECT_THAT(refusal("{\"vocab_size\": 6, \"tokens\": [1], " + model + "}"), HasSubstr("[id, text]"));
  EXPECT_THAT(refusal("{\"vocab_size\": 6, \"merges\": \"x\", " + model + "}"), HasSubstr("expected \"all_splits\""));
  EXPECT_THAT(refusal(R"({"vocab_size": 6, "tokenizer": {"model": {"vocab": {}}}})"), HasSubstr("expected none"));
}

// ---- files of Distributed Llama's own converter

// A vocabulary of `count` tokens as large as a real one: bytes, pairs, threes, in order; then special tokens.
DllamaTokenizer converted(int32_t count, const std::vector<std::string>& special) {
  DllamaTokenizer tokenizer;
  const auto add = [&](std::string bytes) {
    const auto id = static_cast<float>(tokenizer.tokens.size());
    tokenizer.tokens.push_back({.score = -id, .bytes = std::move(bytes)});
  };
  const auto full = [&] { return static_cast<int32_t>(tokenizer.tokens.size()) == count; };
  for (int i = 0; i < 256 && !full(); ++i) add({static_cast<char>(i)});
  for (int i = 0; i < 65536 && !full(); ++i) add({static_cast<char>(i >> 8), static_cast<char>(i)});
  for (int i = 0; !full(); ++i)
    add({static_cast<char>('a' + i / 65536), static_cast<char>(i >> 8), static_cast<char>(i)});
  for (const std::string& token : special) add(token);
  tokenizer.bos_id = count;
  tokenizer.add_bos = true;
  tokenizer.eos_ids = {count + 1};
  return tokenizer;
}

TEST(DllamaTokenizerJson, KnowsLlama3ByItsFirstSpecialToken) {
  const DllamaTokenizer tokenizer = converted(128000, {"<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"});
  const auto text = Tokenizer::from_json(tokenizer_json_of(tokenizer, "x.t"), "x");
  EXPECT_EQ(text.vocab_size(), 128003);
  EXPECT_TRUE(text.is_special(128002));
  // bos; then pieces "zz", "123" and "4": the digits in threes.
  const int32_t zz = 256 + 'z' * 256 + 'z';
  EXPECT_THAT(text.encode("zz1234<|eot_id|>"), ElementsAre(128000, zz, 256 + '1' * 256 + '2', '3', '4', 128002));
  EXPECT_THAT(text.encode("abc"), ElementsAre(128000, 256 + 65536 + 'b' * 256 + 'c'));
  const Json config = parse_json(tokenizer_config_json_of(tokenizer, "x.t").value(), "");
  EXPECT_EQ(config["bos_token"], "<|begin_of_text|>");
  EXPECT_EQ(config["eos_token"], "<|end_of_text|>");
}

TEST(DllamaTokenizerJson, KnowsQwenByItsFirstSpecialToken) {
  DllamaTokenizer tokenizer = converted(151643, {"<|endoftext|>", "<|im_start|>"});
  tokenizer.add_bos = false;
  const auto text = Tokenizer::from_json(tokenizer_json_of(tokenizer, "x.t"), "x");
  EXPECT_THAT(text.encode("12<|im_start|>"), ElementsAre('1', '2', 151644));  // each digit by itself
}

TEST(DllamaTokenizerJson, RefusesAVocabularyThatItDoesNotKnow) {
  const auto refusal = [](const DllamaTokenizer& tokenizer) {
    return message_of([&] { tokenizer_json_of(tokenizer, "x.t"); });
  };
  EXPECT_THAT(refusal(read_t(golden("tokenizer.t"))), HasSubstr("(bos_id 290, \"<|bos|>\") is not known"));
  EXPECT_THAT(refusal(converted(128000, {"<s>", "</s>"})),
              HasSubstr("is not known; known are Llama 3, Qwen and GLM-4"));
  DllamaTokenizer scored = converted(300, {"<s>", "</s>"});
  scored.tokens[2].score = 0;
  EXPECT_THAT(refusal(scored), HasSubstr("SentencePiece"));
  scored = converted(300, {"<s>", "</s>"});
  scored.bos_id.reset();
  EXPECT_THAT(refusal(scored), HasSubstr("bos_id -1"));
}

TEST(DllamaMerges, ALongTokenIsALimit) {
  const std::string token(1025, 'a');
  EXPECT_THAT(message_of([&] { merges_of_tokens({"a", token}, MergeRule::kByRank, "x.t"); }), HasSubstr("1025 bytes"));
  const std::string longest(1024, 'a');
  EXPECT_THAT(merges_of_tokens({"a", "aa", longest}, MergeRule::kByRank, "x.t"), ElementsAre(std::pair(0, 0)));
}

}  // namespace
}  // namespace glimmer

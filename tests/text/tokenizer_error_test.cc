// Malformed and unknown tokenizer.json files: each ends in an Error that names the file and the field.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"
#include "text/tokenizer.h"
#include "text/tokenizer_fixture.h"

namespace glimmer {
namespace {

using testing::HasSubstr;

void expect_error(const std::string& text, ErrorCode code, const std::vector<std::string>& parts) {
  SCOPED_TRACE(text.substr(0, 300));
  try {
    Tokenizer::from_json(text, "dir/tokenizer.json");
    ADD_FAILURE() << "it loaded";
  } catch (const Error& error) {
    EXPECT_EQ(static_cast<int>(error.code()), static_cast<int>(code)) << error.what();
    EXPECT_THAT(error.what(), HasSubstr("dir/tokenizer.json: "));
    EXPECT_THAT(error.what(), testing::Not(HasSubstr("\n")));
    for (const std::string& part : parts) EXPECT_THAT(error.what(), HasSubstr(part));
  }
}

// A tokenizer of three tokens with `patch` merged into it (RFC 7396: null removes).
std::string tiny(const char* patch) {
  Json json = Json::parse(R"({"version": "1.0", "added_tokens": [], "pre_tokenizer": {"type": "ByteLevel",
    "add_prefix_space": false, "trim_offsets": true, "use_regex": true}, "decoder": {"type": "ByteLevel"},
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]}})");
  json.merge_patch(Json::parse(patch));
  return json.dump();
}

TEST(TokenizerErrors, TheTinyTokenizerItselfLoads) {
  EXPECT_EQ(Tokenizer::from_json(tiny("{}"), "x").encode("ab"), std::vector<int32_t>{2});
}

TEST(TokenizerErrors, MissingFile) {
  try {
    Tokenizer::from_file("/nonexistent/tokenizer.json");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
    EXPECT_THAT(error.what(), HasSubstr("/nonexistent/tokenizer.json"));
  }
}

TEST(TokenizerErrors, EveryTruncation) {
  const std::string whole = tiny("{}");
  for (size_t size = 0; size < whole.size(); ++size) expect_error(whole.substr(0, size), ErrorCode::kInvalid, {});
}

TEST(TokenizerErrors, NotTheExpectedDocument) {
  expect_error("", ErrorCode::kInvalid, {"not a JSON document"});
  expect_error("[]", ErrorCode::kInvalid, {"expected an object, found an array"});
  expect_error("null", ErrorCode::kInvalid, {"expected an object, found null"});
  expect_error("{}", ErrorCode::kInvalid, {"\"model\" is missing"});
  expect_error("{\"model\": \xFF}", ErrorCode::kInvalid, {"not a JSON document"});
  expect_error(std::string(100'000, '['), ErrorCode::kInvalid, {"not a JSON document"});
  expect_error(std::string(1000, '[') + std::string(1000, ']'), ErrorCode::kInvalid, {"not a JSON document"});
  expect_error(tiny(R"({"version": "2.0"})"), ErrorCode::kUnsupported, {"version", "2.0", "1.0"});
  expect_error(tiny(R"({"version": 1})"), ErrorCode::kInvalid, {"version: expected a string, found an integer"});
}

// Each looks at every piece of text: thousands would take seconds for a short one.
TEST(TokenizerErrors, TooManyPreTokenizers) {
  const auto with_steps = [](size_t count, const char* step) {
    std::string steps;
    for (size_t i = 0; i < count; ++i) steps += fmt::format("{}{}", i > 0 ? "," : "", step);
    return tiny(fmt::format(R"({{"pre_tokenizer": {{"type": "Sequence", "pretokenizers": [{}]}}}})", steps).c_str());
  };
  const char* split = R"({"type": "Split", "pattern": {"Regex": "a"}, "behavior": "Isolated", "invert": false})";
  for (const char* step : {split, R"({"type": "Digits", "individual_digits": true})"}) {
    EXPECT_NO_THROW(Tokenizer::from_json(with_steps(64, step), "x"));
    expect_error(with_steps(65, step), ErrorCode::kLimit, {"pretokenizers[64]", "64 pre-tokenizers"});
  }
  expect_error(with_steps(20'000, split), ErrorCode::kLimit, {"pretokenizers[64]"});
}

TEST(TokenizerErrors, Model) {
  const auto invalid = ErrorCode::kInvalid;
  const auto unsupported = ErrorCode::kUnsupported;
  expect_error(tiny(R"({"model": {"type": "WordPiece"}})"), unsupported, {"model.type", "WordPiece", "BPE"});
  expect_error(tiny(R"({"model": {"dropout": 0.1}})"), unsupported, {"model.dropout", "0.1"});
  expect_error(tiny(R"({"model": {"dropout": "0"}})"), invalid, {"model.dropout"});
  expect_error(tiny(R"({"model": {"byte_fallback": true}})"), unsupported, {"model.byte_fallback"});
  expect_error(tiny(R"({"model": {"byte_fallback": 0}})"), invalid, {"model.byte_fallback: expected true or false"});
  expect_error(tiny(R"({"model": {"end_of_word_suffix": "</w>"}})"), unsupported, {"end_of_word_suffix", "</w>"});
  expect_error(tiny(R"({"model": {"continuing_subword_prefix": "##"}})"), unsupported, {"prefix", "##"});
  expect_error(tiny(R"({"model": {"unk_token": "<unk>"}})"), invalid, {"model.unk_token", "<unk>"});
  expect_error(tiny(R"({"model": {"ignore_merges": "yes"}})"), invalid, {"model.ignore_merges"});
  expect_error(tiny(R"({"model": null})"), invalid, {"\"model\" is missing"});
  expect_error(tiny(R"({"model": []})"), invalid, {"model: expected an object, found an array"});
}

TEST(TokenizerErrors, Vocabulary) {
  const auto invalid = ErrorCode::kInvalid;
  expect_error(tiny(R"({"model": {"vocab": null}})"), invalid, {"model: \"vocab\" is missing"});
  expect_error(tiny(R"({"model": {"vocab": ["a"]}})"), invalid, {"model.vocab: expected an object, found an array"});
  expect_error(tiny(R"({"model": {"vocab": {"c": "3"}}})"), invalid, {"model.vocab[\"c\"]", "found a string"});
  expect_error(tiny(R"({"model": {"vocab": {"c": 3.5}}})"), invalid, {"model.vocab[\"c\"]", "an integer"});
  expect_error(tiny(R"({"model": {"vocab": {"c": -1}}})"), invalid, {"model.vocab[\"c\"]", "-1"});
  expect_error(tiny(R"({"model": {"vocab": {"c": 2}}})"), invalid, {"model.vocab[\"c\"]", "2", "\"ab\""});
  // None of these allocates a table of that size.
  for (const char* id : {"4194304", "2147483647", "4294967296", "9223372036854775807", "18446744073709551615"}) {
    expect_error(tiny(fmt::format(R"({{"model": {{"vocab": {{"c": {}}}}}}})", id).c_str()), ErrorCode::kLimit,
                 {"model.vocab[\"c\"]", id});
  }
  expect_error(R"({"model": {"vocab": {"a": 0, "a": 1}, "merges": []}})", invalid, {"model.vocab[\"a\"]", "twice"});
}

TEST(TokenizerErrors, Merges) {
  const auto invalid = ErrorCode::kInvalid;
  expect_error(tiny(R"({"model": {"merges": null}})"), invalid, {"model: \"merges\" is missing"});
  expect_error(tiny(R"({"model": {"merges": "a b"}})"), invalid, {"model.merges: expected an array"});
  expect_error(tiny(R"({"model": {"merges": [["a", "b"], ["a"]]}})"), invalid, {"model.merges[1]", "two tokens"});
  expect_error(tiny(R"({"model": {"merges": [["a", 1]]}})"), invalid, {"model.merges[0][1]: expected a string"});
  expect_error(tiny(R"({"model": {"merges": [3]}})"), invalid, {"model.merges[0]"});
  expect_error(tiny(R"({"model": {"merges": ["ab"]}})"), invalid, {"model.merges[0]", "\"ab\""});
  expect_error(tiny(R"({"model": {"merges": ["a b c"]}})"), invalid, {"model.merges[0]", "\"a b c\""});
  expect_error(tiny(R"({"model": {"merges": ["a b", ["a", "b"]]}})"), invalid, {"model.merges[1]", "a string"});
  expect_error(tiny(R"({"model": {"merges": [["a", "b"], "a b"]}})"), invalid, {"model.merges[1]", "an array"});
  expect_error(tiny(R"({"model": {"merges": [["x", "b"]]}})"), invalid, {"model.merges[0]", "\"x\"", "model.vocab"});
  expect_error(tiny(R"({"model": {"merges": [["b", "a"]]}})"), invalid, {"model.merges[0]", "\"ba\"", "model.vocab"});
}

TEST(TokenizerErrors, AddedTokens) {
  const auto invalid = ErrorCode::kInvalid;
  const auto with = [](const std::vector<Json>& tokens) {
    Json json = Json::parse(tiny("{}"));
    json["added_tokens"] = tokens;
    return json.dump();
  };
  EXPECT_NO_THROW(Tokenizer::from_json(with({added_token_json(3, "<s>"), added_token_json(1, "b")}), "x"));
  expect_error(tiny(R"({"added_tokens": {"id": 3}})"), invalid, {"added_tokens: expected an array"});
  expect_error(with({Json(1)}), invalid, {"added_tokens[0]: expected an object"});
  expect_error(with({added_token_json(4, "<s>")}), invalid, {"added_tokens[0].id", "expected 3", "found 4"});
  expect_error(with({added_token_json(0, "<s>")}), invalid, {"added_tokens[0].id", "expected 3", "found 0"});
  expect_error(with({added_token_json(3, "b")}), invalid, {"added_tokens[0].id", "expected 1", "model.vocab"});
  expect_error(with({added_token_json(-1, "<s>")}), invalid, {"added_tokens[0].id", "-1"});
  expect_error(with({added_token_json(INT32_MAX, "<s>")}), ErrorCode::kLimit, {"added_tokens[0].id", "2147483647"});
  expect_error(with({added_token_json(3, "<s>"), added_token_json(3, "<t>")}), invalid, {"added_tokens[1].id"});
  expect_error(with({added_token_json(3, "<s>"), added_token_json(4, "<s>")}), invalid,
               {"added_tokens[1].content", "twice"});
  Json no_flag = added_token_json(3, "<s>");
  no_flag.erase("lstrip");
  expect_error(with({no_flag}), invalid, {"added_tokens[0]: \"lstrip\" is missing"});
  Json bad_flag = added_token_json(3, "<s>");
  bad_flag["special"] = "true";
  expect_error(with({bad_flag}), invalid, {"added_tokens[0].special: expected true or false, found a string"});
}

TEST(TokenizerErrors, UnknownParts) {
  const auto unsupported = ErrorCode::kUnsupported;
  expect_error(tiny(R"({"normalizer": {"type": "Lowercase"}})"), unsupported, {"normalizer.type", "Lowercase"});
  expect_error(tiny(R"({"normalizer": {"type": "Sequence", "normalizers": [{"type": "Strip"}]}})"), unsupported,
               {"normalizer.normalizers[0].type", "Strip"});
  expect_error(tiny(R"({"pre_tokenizer": {"type": "Metaspace"}})"), unsupported,
               {"pre_tokenizer.type", "Metaspace", "ByteLevel, Split, Digits, Sequence"});
  expect_error(tiny(R"({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "ByteLevel",
    "add_prefix_space": false}, {"type": "Digits", "individual_digits": true}]}})"),
               unsupported, {"pre_tokenizer.pretokenizers[1]", "Digits behind ByteLevel"});
  expect_error(tiny(R"({"post_processor": {"type": "BertProcessing"}})"), unsupported,
               {"post_processor.type", "BertProcessing", "TemplateProcessing"});
  expect_error(tiny(R"({"decoder": {"type": "WordPiece"}})"), unsupported, {"decoder.type", "WordPiece", "ByteLevel"});
}

TEST(TokenizerErrors, PreTokenizerFields) {
  const auto invalid = ErrorCode::kInvalid;
  const auto unsupported = ErrorCode::kUnsupported;
  const auto split = [](const char* pattern, const char* behavior = "Isolated") {
    return tiny(
        fmt::format(R"({{"pre_tokenizer": {{"type": "Split", "pattern": {}, "behavior": "{}", "invert": false}}}})",
                    pattern, behavior)
            .c_str());
  };
  expect_error(tiny(R"({"pre_tokenizer": 1})"), invalid, {"pre_tokenizer: expected an object"});
  expect_error(tiny(R"({"pre_tokenizer": {"type": 1}})"), invalid, {"pre_tokenizer.type: expected a string"});
  expect_error(tiny(R"({"pre_tokenizer": {"add_prefix_space": null}})"), invalid, {"\"add_prefix_space\" is missing"});
  expect_error(split(R"({"Regex": "a"})", "Deleted"), unsupported, {"pre_tokenizer.behavior", "Deleted", "Isolated"});
  expect_error(split("\"a\""), invalid, {"pre_tokenizer.pattern: expected an object"});
  expect_error(split("{}"), invalid, {"pre_tokenizer.pattern: \"Regex\" is missing"});
  for (const char* regex : {"(",           ")",
                            "a)",          "[a",
                            "[]",          "[a[b]]",
                            "[a&&b]",      "\\\\",
                            "\\\\w",       "\\\\b",
                            "\\\\1",       "(?<n>a)",
                            "a(?i)b",      "\\\\p{Greek}",
                            "\\\\pL",      "\\\\x",
                            "\\\\x{D800}", "\\\\x{110000}",
                            "[^\\\\P{L}]", "\\\\u12"}) {
    expect_error(split(fmt::format(R"({{"Regex": "{}"}})", regex).c_str()), unsupported,
                 {"pre_tokenizer.pattern.Regex", "at byte"});
  }
  for (const char* regex : {"*", "a{3,1}", "(?<=a*)b"}) {
    expect_error(split(fmt::format(R"({{"Regex": "{}"}})", regex).c_str()), invalid, {"pre_tokenizer.pattern.Regex"});
  }
  const std::string deep = std::string(100, '(') + std::string(100, ')');
  expect_error(split(fmt::format(R"({{"Regex": "{}"}})", deep).c_str()), unsupported, {"too deep"});
  expect_error(split(fmt::format(R"({{"Regex": "{}"}})", std::string(70'000, 'a')).c_str()), ErrorCode::kLimit,
               {"70000"});
}

TEST(TokenizerErrors, TemplateFields) {
  const auto invalid = ErrorCode::kInvalid;
  const auto with = [](const char* single, const char* special = R"({"<s>": {"ids": [0]}})") {
    return tiny(
        fmt::format(R"({{"post_processor": {{"type": "TemplateProcessing", "single": {}, "special_tokens": {}}}}})",
                    single, special)
            .c_str());
  };
  EXPECT_NO_THROW(Tokenizer::from_json(with(R"([{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}])"), "x"));
  expect_error(with("\"$A\""), invalid, {"post_processor.single: expected an array"});
  expect_error(with(R"([{"Sequence": {"id": "B"}}])"), invalid, {"post_processor.single[0].Sequence.id", "\"B\""});
  expect_error(with(R"([{"SpecialToken": {"id": "<t>"}}])"), invalid,
               {"post_processor.special_tokens: \"<t>\" is missing"});
  expect_error(with(R"([{"SpecialToken": {"id": "<s>"}}])", R"({"<s>": {"ids": [-5]}})"), invalid, {"ids[0]", "-5"});
  expect_error(tiny(R"({"post_processor": {"type": "Sequence", "processors": [
    {"type": "TemplateProcessing", "single": [], "special_tokens": {}},
    {"type": "TemplateProcessing", "single": [], "special_tokens": {}}]}})"),
               ErrorCode::kUnsupported, {"post_processor.processors[1]", "second TemplateProcessing"});
}

TEST(TokenizerErrors, DeepNesting) {
  std::string sequence = R"({"type": "Digits", "individual_digits": true})";
  for (int i = 0; i < 200; ++i) sequence = R"({"type": "Sequence", "pretokenizers": [)" + sequence + "]}";
  expect_error(R"({"model": {"vocab": {}, "merges": []}, "pre_tokenizer": )" + sequence + "}", ErrorCode::kInvalid,
               {"not a JSON document"});
}

}  // namespace
}  // namespace glimmer

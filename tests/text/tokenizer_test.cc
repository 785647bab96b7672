// What Hugging Face's `tokenizers` does with small tokenizers of every kind, and what is our own choice.
#include "text/tokenizer.h"

#include <gtest/gtest.h>

#include <thread>

#include "base/utf8.h"
#include "text/stream_decoder.h"
#include "text/tokenizer_fixture.h"

namespace glimmer {
namespace {

using Ids = std::vector<int32_t>;

std::string streamed(const Tokenizer& tokenizer, const Ids& ids, const DecodeOptions& options) {
  StreamDecoder decoder(tokenizer, options);
  std::string out;
  for (const int32_t id : ids) out += decoder.push(id);
  return out + decoder.flush();
}

TEST(Tokenizer, MatchesHuggingFaceOnEveryCase) {
  const auto& lines = tokenizer_case_lines();
  ASSERT_GT(lines.size(), 40u);
  for (size_t i = 1; i < lines.size(); ++i) {
    const Json& line = lines[i];
    SCOPED_TRACE(line["name"].get<std::string>());
    const Tokenizer tokenizer = load_tokenizer(patched_tokenizer(line["patch"]));
    for (const Json& expected : line["cases"]) {
      const std::string text = expected["text"];
      SCOPED_TRACE(dump_json(text));
      const Ids ids = expected["ids"];
      const std::string decoded = expected.value("decoded", text);
      const std::string skipped = expected.value("skipped", decoded);
      EXPECT_EQ(tokenizer.encode(text), ids);
      EXPECT_EQ(tokenizer.encode(text, {.add_special_tokens = false, .parse_special = false}),
                expected.contains("plain") ? expected["plain"].get<Ids>() : ids);
      EXPECT_EQ(tokenizer.decode(ids), decoded);
      EXPECT_EQ(tokenizer.decode(ids, {.skip_special = true}), skipped);
      EXPECT_EQ(streamed(tokenizer, ids, {}), decoded);
      EXPECT_EQ(streamed(tokenizer, ids, {.skip_special = true}), skipped);
    }
  }
}

TEST(Tokenizer, KnowsItsTokens) {
  Json json = patched_tokenizer(Json::object());
  const auto size = static_cast<int32_t>(json["model"]["vocab"].size());
  const int32_t hello = json["model"]["vocab"]["hello"];
  json["added_tokens"] = {added_token_json(hello, "hello"), added_token_json(size, "<s>", {"special", "lstrip"})};
  const Tokenizer tokenizer = load_tokenizer(json);
  EXPECT_EQ(tokenizer.vocab_size(), size + 1);
  EXPECT_EQ(tokenizer.max_id(), size);
  EXPECT_EQ(tokenizer.token_to_id("<s>"), size);
  EXPECT_EQ(tokenizer.token_to_id("Ġhello").has_value(), true);
  EXPECT_EQ(tokenizer.token_to_id(" hello"), std::nullopt);
  EXPECT_EQ(tokenizer.id_to_token(*tokenizer.token_to_id("Ġhello")), "Ġhello");
  EXPECT_EQ(tokenizer.token_bytes(*tokenizer.token_to_id("Ġhello")), " hello");
  EXPECT_EQ(tokenizer.token_bytes(0xE4), "\xE4");
  EXPECT_EQ(tokenizer.token_separator(), "");
  EXPECT_TRUE(tokenizer.is_special(size));
  EXPECT_FALSE(tokenizer.is_special(hello));
  ASSERT_EQ(tokenizer.added_tokens().size(), 2u);
  EXPECT_EQ(tokenizer.added_tokens()[1].content, "<s>");
  EXPECT_TRUE(tokenizer.added_tokens()[1].lstrip);
  EXPECT_FALSE(tokenizer.added_tokens()[1].rstrip);
}

TEST(Tokenizer, ToleratesIdsWithoutAToken) {
  const Tokenizer tokenizer = base_tokenizer();
  const int32_t a = *tokenizer.token_to_id("a");
  EXPECT_EQ(tokenizer.decode(Ids{a, 151552, -1, INT32_MAX, INT32_MIN, a}), "aa");
  for (const int32_t id : {151552, -1, INT32_MAX, INT32_MIN}) {
    EXPECT_EQ(tokenizer.token_bytes(id), "");
    EXPECT_EQ(tokenizer.id_to_token(id), std::nullopt);
    EXPECT_FALSE(tokenizer.is_special(id));
  }
}

TEST(Tokenizer, ReadsInvalidUtf8AsReplacementCharacters) {
  const Tokenizer tokenizer = base_tokenizer();
  // Python: b"...".decode("utf-8", errors="replace")
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"\xFF", "\uFFFD"},
      {"a\x80z", "a\uFFFDz"},
      {"\xE4\xBD", "\uFFFD"},
      {"\xE4\xBDz", "\uFFFDz"},
      {"\xC0\x80", "\uFFFD\uFFFD"},
      {"\xED\xA0\x80", "\uFFFD\uFFFD\uFFFD"},
      {"\xF0\x9F\x99", "\uFFFD"},
      {"\xF4\x90\x80\x80", "\uFFFD\uFFFD\uFFFD\uFFFD"},
      {"\xE4\xBD\xA0\xE4", "你\uFFFD"},
  };
  for (const auto& [bytes, text] : cases) {
    EXPECT_EQ(tokenizer.encode(bytes), tokenizer.encode(text)) << dump_json(bytes);
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(bytes)), text);
  }
}

TEST(Tokenizer, KeepsNulAndControlCharacters) {
  const Tokenizer tokenizer = base_tokenizer();
  const std::string text("\0a\0\x1B[0m\x7F", 8);
  EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
}

TEST(Tokenizer, LeavesSpecialTokensAsTextWhenAsked) {
  Json json = patched_tokenizer(Json::object());
  const auto size = static_cast<int32_t>(json["model"]["vocab"].size());
  json["added_tokens"] = {added_token_json(size, "<s>", {"special"}), added_token_json(size + 1, "<t>")};
  const Tokenizer tokenizer = load_tokenizer(json);
  EXPECT_EQ(tokenizer.encode("<s><t>"), (Ids{size, size + 1}));
  EXPECT_EQ(tokenizer.encode("<s><t>", {.parse_special = false}), (Ids{'<', 's', '>', size + 1}));
}

// What stands across a barrier is text; what ends or begins at one is a token.
TEST(Tokenizer, SeesNoTokenAcrossABarrier) {
  Json json = patched_tokenizer(Json::object());
  const auto size = static_cast<int32_t>(json["model"]["vocab"].size());
  Json normalized = added_token_json(size + 2, "<n>", {"normalized"});
  json["added_tokens"] = {added_token_json(size, "<s>", {"special"}), added_token_json(size + 1, "<s><t>"), normalized};
  const Tokenizer tokenizer = load_tokenizer(json);
  const auto encode = [&](std::string_view text, const std::vector<size_t>& barriers) {
    return tokenizer.encode(text, {.barriers = barriers});
  };
  EXPECT_EQ(encode("<s>", {}), (Ids{size}));
  EXPECT_EQ(encode("<s>", {0, 3}), (Ids{size}));
  EXPECT_EQ(encode("<s>", {1}), (Ids{'<', 's', '>'}));
  EXPECT_EQ(encode("<s>", {2}), (Ids{'<', 's', '>'}));
  EXPECT_EQ(encode("<s><t>", {}), (Ids{size + 1}));
  EXPECT_EQ(encode("<s><t>", {3}), (Ids{size, '<', 't', '>'}));  // the shorter token before it is whole
  EXPECT_EQ(encode("<s><s><s>", {4}), (Ids{size, '<', 's', '>', size}));
  EXPECT_EQ(encode("<s><n><n>", {7}), (Ids{size, size + 2, '<', 'n', '>'}));  // counted from the text's begin
  EXPECT_EQ(encode("x<s>", {2}), (Ids{'x', '<', 's', '>'}));
}

// A merge that scans the whole word for each step would need minutes here.
TEST(Tokenizer, EncodesAMillionEqualCharacters) {
  const Tokenizer tokenizer = base_tokenizer();
  const int32_t four = *tokenizer.token_to_id("ĠĠĠĠ");
  EXPECT_EQ(tokenizer.encode(std::string(1'000'000, ' ')), Ids(250'000, four));
  std::string text;
  for (int i = 0; i < 250'000; ++i) text += "abab";
  EXPECT_EQ(tokenizer.encode(text), Ids(250'000, *tokenizer.token_to_id("abab")));
  EXPECT_EQ(tokenizer.encode(std::string(1'000'000, 'x')).size(), 1'000'000u);
}

// The heap for long pieces and the scan for short ones agree: a piece merges alike wherever it stands, as no merge here
// crosses the "x" between.
TEST(Tokenizer, MergesLongPiecesAsShortOnes) {
  const Tokenizer tokenizer = base_tokenizer();
  const std::string word = "hello ababcab 123 12    abcx";
  const Ids once = tokenizer.encode(word);
  std::string text;
  Ids expected;
  for (int i = 0; i < 50; ++i) {
    text += word;
    expected.insert(expected.end(), once.begin(), once.end());
  }
  EXPECT_EQ(tokenizer.encode(text), expected);
}

TEST(Tokenizer, ServesManyThreads) {
  Json json = patched_tokenizer(Json::object());
  for (const Json& line : tokenizer_case_lines()) {
    if (line.value("name", "") == "o200k") json = patched_tokenizer(line["patch"]);
  }
  const Tokenizer tokenizer = load_tokenizer(json);
  std::vector<std::string> texts;
  for (int i = 0; i < 200; ++i)
    texts.push_back("hello WORLD " + std::to_string(i * 7919) + " 你好 abab'll\n" + std::string(i, ' '));
  std::vector<Ids> expected;
  for (const std::string& text : texts) expected.push_back(tokenizer.encode(text));
  std::vector<int> wrong(4);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (size_t i = 0; i < texts.size(); ++i) {
        const size_t at = (i * 17 + t * 53) % texts.size();
        wrong[t] += tokenizer.encode(texts[at]) != expected[at] || tokenizer.decode(expected[at]) != texts[at];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4));
}

}  // namespace
}  // namespace glimmer

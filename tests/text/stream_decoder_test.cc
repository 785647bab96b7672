#include "text/stream_decoder.h"

#include <gtest/gtest.h>

#include <random>

#include "base/utf8.h"
#include "text/tokenizer_fixture.h"

namespace glimmer {
namespace {

using Ids = std::vector<int32_t>;

// In the base tokenizer the id of a byte is the byte.
Ids bytes_as_ids(std::string_view bytes) {
  Ids out;
  for (const char c : bytes) out.push_back(static_cast<uint8_t>(c));
  return out;
}

std::vector<std::string> pieces(const Tokenizer& tokenizer, const Ids& ids) {
  StreamDecoder decoder(tokenizer);
  std::vector<std::string> out;
  for (const int32_t id : ids) out.push_back(decoder.push(id));
  out.push_back(decoder.flush());
  return out;
}

TEST(StreamDecoder, WaitsForTheWholeCharacter) {
  const Tokenizer tokenizer = base_tokenizer();
  EXPECT_EQ(pieces(tokenizer, bytes_as_ids("a你🙂")),
            (std::vector<std::string>{"a", "", "", "你", "", "", "", "🙂", ""}));
}

TEST(StreamDecoder, ReplacesWhatCannotBecomeACharacter) {
  const Tokenizer tokenizer = base_tokenizer();
  EXPECT_EQ(pieces(tokenizer, bytes_as_ids("\xE4z")), (std::vector<std::string>{"", "\uFFFDz", ""}));
  EXPECT_EQ(pieces(tokenizer, bytes_as_ids("\xE4\xBD")), (std::vector<std::string>{"", "", "\uFFFD"}));
  EXPECT_EQ(pieces(tokenizer, bytes_as_ids("\x80")), (std::vector<std::string>{"\uFFFD", ""}));
  EXPECT_EQ(pieces(tokenizer, bytes_as_ids("\xF0\x9F\xF0")), (std::vector<std::string>{"", "", "\uFFFD", "\uFFFD"}));
}

TEST(StreamDecoder, SkipsSpecialTokensAndUnknownIds) {
  Json json = patched_tokenizer(Json::object());
  const auto size = static_cast<int32_t>(json["model"]["vocab"].size());
  json["added_tokens"] = {added_token_json(size, "<s>", {"special"}), added_token_json(size + 1, "<t>")};
  const Tokenizer tokenizer = load_tokenizer(json);
  StreamDecoder decoder(tokenizer, {.skip_special = true});
  EXPECT_EQ(decoder.push(size), "");
  EXPECT_EQ(decoder.push(size + 1), "<t>");
  EXPECT_EQ(decoder.push(0xC3), "");
  EXPECT_EQ(decoder.push(size), "");
  EXPECT_EQ(decoder.push(999'999), "");
  EXPECT_EQ(decoder.push(-1), "");
  EXPECT_EQ(decoder.push(0xA9), "é");
  EXPECT_EQ(decoder.flush(), "");
}

TEST(StreamDecoder, IsAsNewAfterFlush) {
  Json json = patched_tokenizer(Json::object());
  json["decoder"] = nullptr;  // tokens joined with spaces
  const Tokenizer tokenizer = load_tokenizer(json);
  StreamDecoder decoder(tokenizer);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(decoder.push('a'), "a");
    EXPECT_EQ(decoder.push('b'), " b");
    EXPECT_EQ(decoder.flush(), "");
  }
}

TEST(StreamDecoder, PiecesAreValidAndJoinToTheWhole) {
  const Tokenizer tokenizer = base_tokenizer();
  std::mt19937 random(7);
  for (int round = 0; round < 3000; ++round) {
    Ids ids;
    for (int i = 0, n = random() % 12; i < n; ++i) {
      ids.push_back(random() % 3 ? random() % (tokenizer.max_id() + 5) : 0xE0 + random() % 32);
    }
    std::string joined;
    for (const std::string& piece : pieces(tokenizer, ids)) {
      EXPECT_TRUE(is_valid_utf8(piece));
      joined += piece;
    }
    EXPECT_EQ(joined, tokenizer.decode(ids));
  }
}

}  // namespace
}  // namespace glimmer

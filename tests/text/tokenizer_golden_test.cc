// The published GLM tokenizers. Their files are not in the repository: the tests run where $GLIMMER_SHARED_DATA, or
// ../shared/data beside the checkout, holds tokenizers/<name>/tokenizer.json.xz and the golden encodings.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>

#include "base/json.h"
#include "text/stream_decoder.h"
#include "text/tokenizer.h"

namespace glimmer {
namespace {

namespace fs = std::filesystem;

fs::path shared_data() {
  if (const char* path = std::getenv("GLIMMER_SHARED_DATA")) return path;
  return fs::path(GLIMMER_SOURCE_DIR).parent_path() / "shared" / "data";
}

// Unpacks the published files once, for all tests here.
class TokenizerGolden : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    const fs::path folder = shared_data() / "tokenizers";
    if (!fs::exists(folder)) {
      reason_ = "no published tokenizers at " + folder.string() + " (set GLIMMER_SHARED_DATA)";
    } else if (std::system("xz --version > /dev/null 2>&1") != 0) {
      reason_ = "the program xz is missing (apt install xz-utils)";
    }
    if (!reason_.empty()) {
      std::fprintf(stderr, "TokenizerGolden is skipped: %s\n", reason_.c_str());
      return;
    }
    scratch_ = fs::temp_directory_path() / ("glimmer_tokenizers_" + std::to_string(getpid()));
    for (const auto& entry : fs::directory_iterator(folder)) {
      const fs::path packed = entry.path() / "tokenizer.json.xz";
      if (!fs::exists(packed)) continue;
      const fs::path unpacked = scratch_ / entry.path().filename() / "tokenizer.json";
      fs::create_directories(unpacked.parent_path());
      const std::string command = "xz -dkc '" + packed.string() + "' > '" + unpacked.string() + "'";
      ASSERT_EQ(std::system(command.c_str()), 0) << command;
      tokenizers_.emplace(entry.path().filename().string(), Tokenizer::from_file(unpacked.parent_path()));
    }
  }

  static void TearDownTestSuite() {
    tokenizers_.clear();
    if (!scratch_.empty()) fs::remove_all(scratch_);
  }

  void SetUp() override {
    if (!reason_.empty()) GTEST_SKIP() << reason_;
  }

  static const Tokenizer& tokenizer(const std::string& name) { return tokenizers_.at(name); }

  static inline std::string reason_;
  static inline fs::path scratch_;
  static inline std::map<std::string, Tokenizer> tokenizers_;
};

void expect_ids(const Tokenizer& tokenizer, const std::string& text, const std::vector<int32_t>& ids) {
  EXPECT_EQ(tokenizer.encode(text), ids) << text;
  EXPECT_EQ(tokenizer.decode(ids), text);
  StreamDecoder decoder(tokenizer);
  std::string streamed;
  for (const int32_t id : ids) streamed += decoder.push(id);
  EXPECT_EQ(streamed + decoder.flush(), text);
}

TEST_F(TokenizerGolden, Encodings) {
  std::ifstream file(shared_data() / "tokenizers" / "golden_encodings.jsonl");
  size_t compared = 0;
  for (std::string line; std::getline(file, line);) {
    const Json golden = parse_json(line, "golden_encodings.jsonl");
    for (const auto& [name, ids] : golden.items()) {
      if (name == "text") continue;
      ASSERT_TRUE(tokenizers_.contains(name)) << name;
      expect_ids(tokenizer(name), golden["text"], ids);
      ++compared;
    }
  }
  EXPECT_GT(compared, 400u);
}

TEST_F(TokenizerGolden, RenderedTemplates) {
  std::ifstream file(shared_data() / "templates" / "golden_renders.jsonl");
  size_t compared = 0;
  for (std::string line; std::getline(file, line); ++compared) {
    const Json golden = parse_json(line, "golden_renders.jsonl");
    expect_ids(tokenizer(golden["tokenizer"]), golden["rendered"], golden["ids"]);
  }
  EXPECT_GT(compared, 10u);
}

TEST_F(TokenizerGolden, AddedTokens) {
  const Tokenizer& old = tokenizer("glm-4-0414");
  EXPECT_EQ(old.vocab_size(), 151343);
  EXPECT_EQ(old.token_to_id("<think>"), std::nullopt);
  const Tokenizer& flash = tokenizer("glm-4.7-flash");
  EXPECT_EQ(flash.vocab_size(), 154856);
  EXPECT_EQ(flash.max_id(), 154855);
  EXPECT_EQ(flash.token_to_id("<|user|>"), 154827);
  EXPECT_TRUE(flash.is_special(154827));
  EXPECT_FALSE(flash.is_special(*flash.token_to_id("<think>")));
  const std::vector<int32_t> ids = flash.encode("<|user|>a/nothink<think></think>");
  EXPECT_EQ(flash.decode(ids, {.skip_special = true}), "a/nothink<think></think>");
  EXPECT_EQ(flash.decode(std::vector<int32_t>{64, 154879, 65}), "ab");  // a padded row of lm_head
}

// ignore_merges: the whole piece is looked up first. 893 tokens cannot be reached by merges.
TEST_F(TokenizerGolden, WholePieces) {
  EXPECT_EQ(tokenizer("glm-4.5").encode(" 好"), std::vector<int32_t>{106992});
  EXPECT_EQ(tokenizer("glm-4.5").encode(" 现在"), std::vector<int32_t>{105903});
}

TEST_F(TokenizerGolden, AMillionEqualCharacters) {
  // A quadratic merge would take hours, and ctest's time limit ends it.
  for (const char c : {'a', ' ', '\n', '='}) {
    const std::string text(1'000'000, c);
    EXPECT_EQ(tokenizer("glm-4.5").decode(tokenizer("glm-4.5").encode(text)), text);
  }
}

}  // namespace
}  // namespace glimmer

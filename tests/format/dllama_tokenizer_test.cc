// Distributed Llama's tokenizer files, good and bad. tokenizer.t was written by tools/dllama.py.
#include "format/dllama_tokenizer.h"

#include <gmock/gmock.h>

#include <cstring>
#include <limits>

#include "base/error.h"
#include "base/mapped_file.h"
#include "support/paths.h"

namespace glimmer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::byte> golden() {
  const MappedFile file(testing::source_dir() / "tests/source/dllama/tokenizer.t");
  return {file.bytes().begin(), file.bytes().end()};
}

std::string message_of(std::span<const std::byte> file) {
  try {
    parse_dllama_tokenizer(file, "x.t");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

DllamaTokenizer small() {
  DllamaTokenizer tokenizer;
  tokenizer.tokens = {{-0.0F, "a"}, {-1, "b"}, {-2, "ab"}, {-3, "<s>"}, {-4, "</s>"}};
  tokenizer.bos_id = 3;
  tokenizer.eos_ids = {4, 2};
  tokenizer.add_bos = true;
  tokenizer.chat_template = "{{ messages }}";
  return tokenizer;
}

// The value of a key in place.
std::vector<std::byte> with_value(std::vector<std::byte> file, int32_t key, int32_t value) {
  int32_t size = 0;
  std::memcpy(&size, file.data() + 4, 4);
  for (int32_t at = 8; at < size; at += 8) {
    int32_t found = 0;
    std::memcpy(&found, file.data() + at, 4);
    if (found == key) std::memcpy(file.data() + at + 4, &value, 4);
  }
  return file;
}

TEST(DllamaTokenizer, ReadsTheGolden) {
  const DllamaTokenizer tokenizer = parse_dllama_tokenizer(golden(), "x.t");
  ASSERT_EQ(tokenizer.tokens.size(), 294U);
  EXPECT_EQ(tokenizer.bos_id, 290);
  EXPECT_THAT(tokenizer.eos_ids, ElementsAre(291, 292));
  EXPECT_EQ(tokenizer.add_bos, false);
  EXPECT_EQ(tokenizer.chat_template,
            "{% for message in messages %}<|user|>{{ message['content'] }}{% endfor %}<|assistant|>");
  EXPECT_EQ(tokenizer.extension, std::nullopt);
  EXPECT_EQ(tokenizer.tokens[0].bytes, "!");
  EXPECT_EQ(tokenizer.tokens[0].score, 0);
  EXPECT_EQ(tokenizer.tokens[188].bytes.size(), 1U);
  EXPECT_EQ(tokenizer.tokens[290].bytes, "<|bos|>");
  EXPECT_EQ(tokenizer.tokens[293].bytes, "<think>");
  EXPECT_EQ(tokenizer.tokens[293].score, -293);
}

TEST(DllamaTokenizer, WritesTheGoldenAgain) {
  EXPECT_EQ(encode_dllama_tokenizer(parse_dllama_tokenizer(golden(), "x.t")), golden());
}

TEST(DllamaTokenizer, KeepsTheExtension) {
  DllamaTokenizer tokenizer = small();
  tokenizer.extension = "{\"a\": 1}";
  tokenizer.add_bos = std::nullopt;
  tokenizer.bos_id = std::nullopt;
  tokenizer.chat_template = std::nullopt;
  const DllamaTokenizer again = parse_dllama_tokenizer(encode_dllama_tokenizer(tokenizer), "x.t");
  EXPECT_EQ(again.extension, tokenizer.extension);
  EXPECT_EQ(again.add_bos, std::nullopt);
  EXPECT_EQ(again.bos_id, std::nullopt);
  EXPECT_EQ(again.chat_template, std::nullopt);
  EXPECT_EQ(again.eos_ids, tokenizer.eos_ids);
}

TEST(DllamaTokenizer, EveryTruncationIsRefused) {
  DllamaTokenizer tokenizer = small();
  tokenizer.extension = "{}";
  const std::vector<std::byte> file = encode_dllama_tokenizer(tokenizer);
  const size_t without = file.size() - 10;  // the same file, as Distributed Llama writes it
  for (size_t size = 0; size < file.size(); ++size) {
    EXPECT_EQ(message_of(std::span(file).first(size)).empty(), size == without) << "cut to " << size;
  }
}

TEST(DllamaTokenizer, EveryValueIsChecked) {
  const std::vector<std::byte> file = encode_dllama_tokenizer(small());
  EXPECT_EQ(message_of(file), "");
  for (const int32_t value : {-1, 0, 4, 6, 1 << 20, INT32_MAX, INT32_MIN}) {
    EXPECT_THAT(message_of(with_value(file, 1, value)), ::testing::StartsWith("x.t: ")) << "vocab_size " << value;
  }
  for (const int32_t value : {-1, 0, 1, 2, 3, INT32_MIN}) {
    EXPECT_NE(message_of(with_value(file, 2, value)), "") << "max_token_length " << value;
  }
  for (const int32_t value : {-2, 5, INT32_MAX, INT32_MIN}) {
    EXPECT_THAT(message_of(with_value(file, 3, value)), HasSubstr("bos_id")) << value;
  }
  for (const int32_t value : {-1, 0, 13, 15, 1 << 20, INT32_MAX}) {
    EXPECT_NE(message_of(with_value(file, 7, value)), "") << "chat_template " << value;
  }
  for (const int32_t value : {-1, 0, 1, 3, 1024, INT32_MAX}) {
    EXPECT_NE(message_of(with_value(file, 9, value)), "") << "n_eos_tokens " << value;
  }
  for (const int32_t value : {-1, 2, INT32_MAX}) EXPECT_NE(message_of(with_value(file, 10, value)), "") << value;
  EXPECT_THAT(message_of(with_value(file, 0, 2)), HasSubstr("version"));
  EXPECT_EQ(parse_dllama_tokenizer(with_value(file, 3, -1), "x.t").bos_id, std::nullopt);  // as it says "none"
}

TEST(DllamaTokenizer, RefusesKeysThatAreUnknownOrGivenTwice) {
  std::vector<std::byte> file = encode_dllama_tokenizer(small());
  const int32_t first_key_at = 8;
  for (const int32_t key : {-1, 11, 100, INT32_MAX, INT32_MIN}) {
    std::memcpy(file.data() + first_key_at, &key, 4);
    EXPECT_THAT(message_of(file), HasSubstr("is not known")) << key;
  }
  const int32_t vocab_size = 1;
  std::memcpy(file.data() + first_key_at, &vocab_size, 4);
  EXPECT_THAT(message_of(file), HasSubstr("appears twice"));
}

TEST(DllamaTokenizer, RefusesBadTokensIdsAndMagic) {
  DllamaTokenizer tokenizer = small();
  tokenizer.tokens[1].score = std::numeric_limits<float>::infinity();
  EXPECT_THAT(message_of(encode_dllama_tokenizer(tokenizer)), HasSubstr("the score is no number"));
  std::vector<std::byte> file = encode_dllama_tokenizer(small());
  const size_t eos_at = 8 + 8 * 7 + small().chat_template->size();
  for (const int32_t id : {-1, 5, INT32_MAX}) {
    std::memcpy(file.data() + eos_at, &id, 4);
    EXPECT_THAT(message_of(file), HasSubstr("eos id 0"));
  }
  file = encode_dllama_tokenizer(small());
  const size_t size_at = eos_at + 8 + 4;
  for (const uint32_t size : {0U, 5U, 0xFFFFFFFFU}) {
    std::memcpy(file.data() + size_at, &size, 4);
    EXPECT_THAT(message_of(file), HasSubstr("expected 1 to max_token_length 4")) << size;
  }
  file = encode_dllama_tokenizer(small());
  file.push_back(std::byte{0});
  EXPECT_THAT(message_of(file), HasSubstr("bytes behind the last token"));
  file[0] = std::byte{0x23};
  EXPECT_THAT(message_of(file), HasSubstr("of old"));
  file[0] = std::byte{0x25};
  EXPECT_THAT(message_of(file), HasSubstr("expected 0x00567124"));
}

TEST(DllamaTokenizer, ReadsTheKeysOfOld) {
  // eos_id and chat_eos_id in the header, pad_id and a stop string passed over.
  const std::vector<int32_t> ints = {0x567124, 8 + 8 * 7, 0, 1, 1, 1, 2, 3, 4, 0, 6, 0, 5, -7, 8, 4};
  std::vector<std::byte> file(4 * ints.size());
  std::memcpy(file.data(), ints.data(), file.size());
  for (const char byte : std::string("stop\0\0\0\0\3\0\0\0abc", 15)) file.push_back(static_cast<std::byte>(byte));
  const DllamaTokenizer tokenizer = parse_dllama_tokenizer(file, "x.t");
  EXPECT_THAT(tokenizer.eos_ids, ElementsAre(0, 0));
  EXPECT_EQ(tokenizer.tokens[0].bytes, "abc");
}

}  // namespace
}  // namespace glimmer

// Any bytes as a tokenizer inside a GGUF file, and as a tokenizer.json to write one of: either an Error, or JSON that
// the other direction takes, with the same tokens.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "source/gguf_pre_type.h"
#include "source/gguf_tokenizer.h"
#include "text/tokenizer.h"

namespace {

using glimmer::gguf_tokenizer_of;
using glimmer::GgufTokenizer;

// Bytes as the keys' values: a pre type, flags, ids, then lines "T<type>token" and "Mleft right".
GgufTokenizer tokenizer_of(std::string_view bytes) {
  GgufTokenizer gguf;
  gguf.model = "gpt2";
  const auto byte = [&](size_t i) { return i < bytes.size() ? static_cast<uint8_t>(bytes[i]) : uint8_t{0}; };
  const auto types = glimmer::gguf_pre_types();
  gguf.pre = types[byte(0) % types.size()].name;
  const auto id = [&](size_t i) { return byte(i) == 0 ? std::nullopt : std::optional<int64_t>(byte(i) - 2); };
  gguf.bos = id(1);
  gguf.eos = id(2);
  gguf.padding = id(3);
  if ((byte(4) & 1) != 0) gguf.add_bos = (byte(4) & 2) != 0;
  if ((byte(4) & 4) != 0) gguf.add_eos = (byte(4) & 8) != 0;
  for (size_t begin = 5; begin < bytes.size();) {
    const size_t end = std::min(bytes.find('\n', begin), bytes.size());
    const std::string_view line = bytes.substr(begin, end - begin);
    if (line.size() >= 2 && line[0] == 'T') {
      gguf.token_type.push_back(line[1] - '0');
      gguf.tokens.push_back(line.substr(2));
    } else if (line.starts_with("M")) {
      gguf.merges.push_back(line.substr(1));
    }
    begin = end + 1;
  }
  return gguf;
}

void there_and_back(const GgufTokenizer& gguf) {
  const std::string json = tokenizer_json_of(gguf, "fuzz");
  tokenizer_config_json_of(gguf, "fuzz");
  gguf_eos_token_ids(gguf, "fuzz");
  const auto tokenizer = glimmer::Tokenizer::from_json(json, "fuzz");
  tokenizer.decode(tokenizer.encode("ab abc 123 it's \n <s>"));
  const GgufTokenizer again = gguf_tokenizer_of({.tokenizer_json = json,
                                                 .vocab_size = static_cast<int64_t>(gguf.tokens.size()),
                                                 .model_type = "llama",
                                                 .source = "fuzz"});
  GLIMMER_CHECK(again.tokens == gguf.tokens, "tokens");
  GLIMMER_CHECK(again.merges == gguf.merges, "merges");
  GLIMMER_CHECK(tokenizer_json_of(again, "fuzz") == json, "the original text");
}

template <typename Action>
void refused_or_done(const Action& action) {
  try {
    action();
  } catch (const glimmer::Error&) {  // the only exception that may come out
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  refused_or_done([&] { there_and_back(tokenizer_of(bytes)); });
  refused_or_done([&] {
    gguf_tokenizer_of({.tokenizer_json = bytes,
                       .tokenizer_config_json = bytes,
                       .eos_token_id = {1},
                       .vocab_size = 300,
                       .model_type = "glm4",
                       .source = "fuzz"});
  });
  GgufTokenizer gguf = tokenizer_of(bytes);
  gguf.huggingface_json = bytes;
  refused_or_done([&] { tokenizer_json_of(gguf, "fuzz"); });
  return 0;
}

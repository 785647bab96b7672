// Streaming detokeniser. The pieces are whole UTF-8 characters, and joined they equal Tokenizer::decode of all ids.
#pragma once

#include <cstdint>
#include <string>

#include "text/tokenizer.h"

namespace glimmer {

// One per sequence; not for several threads at once. `tokenizer` must outlive it.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer, const DecodeOptions& options = {});

  // The text that `id` completes; empty while a character is still cut in two.
  std::string push(int32_t id);

  // Ends the text: U+FFFD if a character was left incomplete, else nothing. The decoder is then as new.
  std::string flush();

 private:
  const Tokenizer& tokenizer_;
  DecodeOptions options_;
  std::string pending_;  // at most 3 bytes between calls
  bool any_token_ = false;
};

}  // namespace glimmer

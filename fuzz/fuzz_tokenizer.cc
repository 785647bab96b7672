// Arbitrary bytes as a tokenizer.json; if it loads, a little text is encoded, decoded and streamed with it.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "base/error.h"
#include "base/utf8.h"
#include "text/stream_decoder.h"
#include "text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  try {
    const auto tokenizer = glimmer::Tokenizer::from_json(bytes, "fuzz");
    const std::string_view sample = "<s>hello  ab abc 123 \n\n it's 你好 \xFF\xE4\xBD e\u0301<|x|>";
    for (const std::string_view text : {sample, bytes.substr(0, 256)}) {
      for (const bool parse_special : {true, false}) {
        const auto ids = tokenizer.encode(text, {.parse_special = parse_special});
        glimmer::StreamDecoder decoder(tokenizer);
        std::string streamed;
        for (const int32_t id : ids) streamed += decoder.push(id);
        if (streamed + decoder.flush() != tokenizer.decode(ids)) std::abort();
        if (!glimmer::is_valid_utf8(streamed)) std::abort();
      }
    }
  } catch (const glimmer::Error&) {  // the only exception that may come out
  }
  return 0;
}

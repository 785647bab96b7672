// Maps an answer's text back to its tokens, for logprobs.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"
#include "session/answer.h"
#include "text/tokenizer.h"

namespace glimmer {

// A token and its logprobs as an answer has them.
TokenRecord token_record(const Tokenizer& tokenizer, const GeneratedToken& token);

// The text of the tokens goes through a parser, which leaves tags and white space out, and a matcher of stop strings,
// which holds text back; both pass on pieces of it as they are, in order. Here each piece finds its tokens again.
// Joined, the tokens that come out are the text; but the first and last of a piece may have some of what was left out,
// or of a stop string, where one token holds both.
class TokenRecords {
 public:
  // A token, and then the text that becomes whole with it: none while a character of several tokens is not.
  void add(TokenRecord record);
  void add_text(std::string_view text) { text_ += text; }

  // This piece of the tokens' text is of the answer's content, or is not: it is reasoning. What comes before it, of the
  // text that no piece has had, is neither.
  void pass_content(std::string_view piece);
  void pass_other(std::string_view piece);

  // The tokens that were added before the last belong to no content: to a tool call, whose text comes out changed.
  void drop();

  // Those whose text begins in the first `content_bytes` of all content, each once.
  std::vector<TokenRecord> take(size_t content_bytes);

 private:
  struct Entry {
    size_t begin = 0;  // where its text begins: in text_, or once it is known to be content, in that
    TokenRecord record;
  };

  void forget(size_t bytes);

  std::string text_;           // of tokens, that no piece has had
  std::deque<Entry> tokens_;   // of that text
  std::deque<Entry> content_;  // of content, not yet taken
  size_t content_bytes_ = 0;   // of all pieces
};

}  // namespace glimmer

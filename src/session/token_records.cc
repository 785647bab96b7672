#include "session/token_records.h"

#include <algorithm>
#include <utility>

namespace glimmer {

TokenRecord token_record(const Tokenizer& tokenizer, const GeneratedToken& token) {
  TokenRecord record{{std::string(tokenizer.token_bytes(token.id)), token.logprob}, {}};
  for (const TokenLogprob& top : token.top) {
    record.top.push_back({std::string(tokenizer.token_bytes(top.id)), top.logprob});
  }
  return record;
}

void TokenRecords::add(TokenRecord record) { tokens_.push_back({text_.size(), std::move(record)}); }

void TokenRecords::pass_other(std::string_view piece) {
  if (const size_t at = text_.find(piece); at != std::string::npos) forget(at + piece.size());
}

void TokenRecords::pass_content(std::string_view piece) {
  const size_t at = text_.find(piece);
  if (at != std::string::npos) forget(at);
  const size_t end = at == std::string::npos ? 0 : piece.size();
  while (!tokens_.empty() && tokens_.front().begin < end) {
    content_.push_back({content_bytes_ + tokens_.front().begin, std::move(tokens_.front().record)});
    tokens_.pop_front();
  }
  content_bytes_ += piece.size();
  forget(end);
}

// Drops the beginning of the text and its tokens. A token that reaches beyond it is cut.
void TokenRecords::forget(size_t bytes) {
  while (!tokens_.empty() && (tokens_.size() > 1 ? tokens_[1].begin : text_.size()) <= bytes &&
         tokens_.front().begin < bytes) {
    tokens_.pop_front();
  }
  for (Entry& token : tokens_) token.begin -= std::min(token.begin, bytes);
  text_.erase(0, bytes);
}

void TokenRecords::drop() {
  if (tokens_.size() > 1) forget(tokens_.back().begin);
}

std::vector<TokenRecord> TokenRecords::take(size_t content_bytes) {
  std::vector<TokenRecord> out;
  while (!content_.empty() && content_.front().begin < content_bytes) {
    out.push_back(std::move(content_.front().record));
    content_.pop_front();
  }
  return out;
}

}  // namespace glimmer

#include "text/stream_decoder.h"

#include "base/utf8.h"

namespace glimmer {

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, const DecodeOptions& options)
    : tokenizer_(tokenizer), options_(options) {}

std::string StreamDecoder::push(int32_t id) {
  if (!tokenizer_.id_to_token(id) || (options_.skip_special && tokenizer_.is_special(id))) return {};
  if (any_token_) pending_ += tokenizer_.token_separator();
  pending_ += tokenizer_.token_bytes(id);
  any_token_ = true;
  const size_t whole = pending_.size() - incomplete_utf8_suffix_bytes(pending_);
  std::string text = to_valid_utf8(std::string_view(pending_).substr(0, whole));
  pending_.erase(0, whole);
  return text;
}

std::string StreamDecoder::flush() {
  std::string text = to_valid_utf8(pending_);
  pending_.clear();
  any_token_ = false;
  return text;
}

}  // namespace glimmer

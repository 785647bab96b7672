// Which tokens may come next in one generated sequence: a grammar, a schema, a list of words. It lies below both those
// who write filters, which know text, and those who obey them, which know tokens.
#pragma once

#include <cstdint>
#include <span>

namespace glimmer {

// Token i is bit i % 64 of word i / 64.
inline constexpr int64_t kTokensPerWord = 64;
constexpr int64_t token_words(int64_t vocab_size) { return (vocab_size + kTokensPerWord - 1) / kTokensPerWord; }
constexpr bool has_token(std::span<const uint64_t> bits, int64_t id) {
  return (bits[static_cast<size_t>(id / kTokensPerWord)] >> id % kTokensPerWord & 1) != 0;
}
constexpr void set_token(std::span<uint64_t> bits, int64_t id, bool is_in) {
  const uint64_t bit = uint64_t{1} << id % kTokensPerWord;
  uint64_t& word = bits[static_cast<size_t>(id / kTokensPerWord)];
  word = is_in ? word | bit : word & ~bit;
}

// Of one generation, from its first token on; called by one thread at a time. Exceptions end the sequence.
class TokenFilter {
 public:
  virtual ~TokenFilter() = default;

  // Sets the bits of the tokens that may come next in `bits` (token_words(vocab_size) words, all zero on entry). Bits
  // from vocab_size on are ignored. Tokens that end the sequence are not the filter's: may_end() allows them.
  virtual void allow(std::span<uint64_t> bits) = 0;
  // Whether the sequence may end here.
  virtual bool may_end() const = 0;
  // The next token of the sequence: allowed, or one that ends it. Tokens that were drafted and not taken are never
  // accepted, so there is no way back.
  virtual void accept(int32_t id) = 0;
};

}  // namespace glimmer

// The merges of a byte-level BPE vocabulary, where a file keeps tokens only: if an id is the rank of the merge that
// makes the token, the merges follow from the tokens.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace glimmer {

enum class MergeRule {
  // Every way to cut a token into two tokens is a merge; sorted by token, then by the left part's id. So does
  // transformers make merges from a tiktoken vocabulary: GLM-4, Llama 3.
  kAllSplits,
  // Each token has one merge: the last that BPE does on its bytes with the merges of lower ids. So do trained
  // vocabularies: Qwen, and most others. A token that BPE does not bring down to two parts has none.
  kByRank,
};

// (left id, right id) by rank. `tokens` by id, as bytes; an empty one takes no part. Throws kLimit, naming `file`, on a
// token of more than 1,024 bytes: the work grows with the square.
std::vector<std::pair<int32_t, int32_t>> merges_of_tokens(const std::vector<std::string_view>& tokens, MergeRule rule,
                                                          std::string_view file);

}  // namespace glimmer

// Keeps users' text from being tokenised as control tokens.
//
// A chat template joins its control tokens ("<|user|>", "<tool_call>", ...) and the texts of a conversation into one
// string for the tokenizer. So "<|system|>" in a message, or in a web page fetched by a tool, could forge a turn. To
// prevent that, the texts are marked before rendering: a barrier, which survives the template, at each place where a
// control token would begin. After rendering the marks are removed, and the tokenizer matches no added token across a
// barrier (EncodeOptions::barriers): the characters are encoded as ordinary text.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "text/pattern_set.h"
#include "text/tokenizer.h"

namespace glimmer {

// What a template made of guarded texts.
struct GuardedPrompt {
  std::string text;
  std::vector<size_t> barriers;  // for EncodeOptions
};

// Immutable, for any number of threads.
class TextGuard {
 public:
  // Guards against all added tokens but /nothink, which GLM-4.5 means users to write.
  explicit TextGuard(const Tokenizer& tokenizer);

  // `allowed` are the tokens that this text may contain: the reasoning tags, where the template looks for them. Takes
  // time linear in the text.
  std::string guard(std::string_view text, std::span<const std::string_view> allowed = {}) const;

  // All strings in it and all names of members.
  Json guard_json(const Json& value) const;

  // A mark to put behind a guarded text, by which its end is found in what the template rendered.
  static std::string_view end_mark();

  // Takes the marks out of what the template rendered.
  static GuardedPrompt open(std::string_view rendered);

 private:
  // The first place at or behind `from` where a token begins that is not allowed.
  std::optional<size_t> next_token(PatternStarts& starts, size_t from, std::span<const std::string_view> allowed) const;

  std::vector<std::string> tokens_;
  PatternSet patterns_;  // their values are indices of tokens_
};

}  // namespace glimmer

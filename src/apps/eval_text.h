// The model and text of an evaluation: from flags to the engine's input.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "apps/options.h"
#include "engine/evaluate.h"
#include "source/model_source.h"
#include "text/tokenizer.h"

namespace glimmer::apps {

// What can be read of a model, in whatever form it is published, before its weights.
struct EvalModel {
  std::string name;  // as it was given
  std::shared_ptr<const ModelSource> source;
  ModelConfig config;
  std::optional<Tokenizer> tokenizer;

  explicit EvalModel(const ModelFlags& flags);  // throws as the readers of its parts
};

// -f, --ctx, --windows, --no-prefix.
struct EvalTextFlags {
  std::optional<std::string> file;
  std::optional<int64_t> context;
  std::optional<int64_t> windows;
  bool no_prefix = false;

  void add(Flags& flags);
  void check() const;  // throws kUsage

  // The whole text, of the file or of standard input. Throws kNotFound, kIo, kInvalid for an empty one.
  std::string read() const;

  // `context_limit`: the model's max_position_embeddings. Without --ctx a window has 512 tokens, or as many as the
  // model takes. Throws kUsage, kInvalid.
  TextWindows cut(std::span<const int32_t> text, std::vector<int32_t> head, ScoredTokens scored,
                  int64_t context_limit) const;
};

// What stands at the head of each window: the ids that the tokenizer puts before a text (Llama's BOS); where it puts
// none and has [gMASK] and <sop> as added tokens, those two, which every GLM prompt begins with.
std::vector<int32_t> window_head(const Tokenizer& tokenizer);

// "12 windows of 512 tokens, 3060 tokens scored; 76 tokens at the end left out"
std::string describe(const TextWindows& windows);

}  // namespace glimmer::apps

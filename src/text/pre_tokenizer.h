// Cuts text into the pieces that BPE works on, as the `pre_tokenizer` of a tokenizer.json says.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "text/pre_tokenizer_regex.h"
#include "text/pre_tokenizer_scan.h"

namespace glimmer {

enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

// A reference to a callable; it must outlive the call that it is passed to.
class PieceSink {
 public:
  template <typename F>
  PieceSink(const F& f)  // NOLINT: implicit, as for a function argument
      : object_(&f),
        call_([](const void* object, std::string_view piece) { (*static_cast<const F*>(object))(piece); }) {}
  void operator()(std::string_view piece) const { call_(object_, piece); }

 private:
  const void* object_;
  void (*call_)(const void*, std::string_view);
};

// Immutable, for any number of threads, each with its own RegexScratch.
class PreTokenizer {
 public:
  struct Split {
    std::variant<PieceScanner, Regex> pattern;
    SplitBehavior behavior = SplitBehavior::kIsolated;
    bool invert = false;
  };
  struct Digits {
    bool individual_digits = false;
  };
  struct ByteLevel {
    bool add_prefix_space = true;
    bool use_regex = true;
  };
  using Stage = std::variant<Split, Digits, ByteLevel>;

  // Each stage looks at every piece of the one before; published tokenizers have up to ten.
  static constexpr size_t kMaxStages = 64;

  // The stages run in order, each on the pieces of the one before. A ByteLevel is the last, if there is one.
  void add(Stage stage) { stages_.push_back(std::move(stage)); }
  size_t stages() const { return stages_.size(); }
  bool byte_level() const { return !stages_.empty() && std::holds_alternative<ByteLevel>(stages_.back()); }

  // Calls `sink` with each piece of `text` in order; none is empty. With ByteLevel the pieces are still the text's own
  // bytes (not their printable stand-ins), perhaps after a prefix space. `text` is valid UTF-8.
  void run(std::string_view text, RegexScratch& scratch, PieceSink sink) const { run_stage(0, text, scratch, sink); }

 private:
  void run_stage(size_t stage, std::string_view text, RegexScratch& scratch, PieceSink sink) const;

  std::vector<Stage> stages_;
};

}  // namespace glimmer

// Tells reasoning from answer in generated text: what stands between <think> and </think>, as all GLM models write it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace glimmer {

// Whether text generated after this prompt begins inside reasoning: GLM-4.7's template ends with an open <think>.
bool prompt_opens_reasoning(std::string_view prompt);

// Takes text piece by piece; never lets a part of a tag through. The tags themselves are left out, and so is white
// space at the beginning of a section and at the end of reasoning.
class ReasoningSplitter {
 public:
  struct Piece {
    bool reasoning = false;
    std::string text;
  };

  enum class Start { kAnswer, kReasoning };
  explicit ReasoningSplitter(Start start);

  std::vector<Piece> push(std::string_view text);
  std::vector<Piece> flush();  // when no more text comes

 private:
  void add(std::string_view text, std::vector<Piece>& out);

  bool in_reasoning_;
  bool at_section_start_ = true;
  std::string held_space_;  // white space that may turn out to end the reasoning
  std::string pending_;     // the beginning of a tag
};

}  // namespace glimmer

#include "text/reasoning_splitter.h"

#include <gtest/gtest.h>

namespace glimmer {
namespace {

using Start = ReasoningSplitter::Start;

struct Split {
  std::string reasoning;
  std::string answer;
  bool operator==(const Split&) const = default;
};

void PrintTo(const Split& split, std::ostream* out) { *out << '{' << split.reasoning << "} {" << split.answer << '}'; }

Split split(Start start, std::string_view text, size_t size) {
  ReasoningSplitter splitter(start);
  Split out;
  const auto take = [&](const std::vector<ReasoningSplitter::Piece>& pieces) {
    for (const auto& piece : pieces) (piece.reasoning ? out.reasoning : out.answer) += piece.text;
  };
  for (size_t i = 0; i < text.size(); i += size) take(splitter.push(text.substr(i, size)));
  take(splitter.flush());
  return out;
}

// However the text is cut, the result is the same.
void expect_split(Start start, std::string_view text, const Split& expected) {
  for (size_t size = 1; size <= text.size() + 1; ++size) EXPECT_EQ(split(start, text, size), expected) << size;
}

TEST(ReasoningSplitter, OpenedByThePrompt) {
  expect_split(Start::kReasoning, "17 + 25\n= 42</think>It is 42.", {"17 + 25\n= 42", "It is 42."});
  expect_split(Start::kReasoning, "\nwell \n</think>\n\n42 \n", {"well", "42 \n"});
}

TEST(ReasoningSplitter, OpenedByTheModel) {
  expect_split(Start::kAnswer, "\n<think>\nhm</think>\nHello", {"hm", "Hello"});
}

TEST(ReasoningSplitter, WithoutReasoning) {
  expect_split(Start::kAnswer, "a < b and <thin> is no tag <", {"", "a < b and <thin> is no tag <"});
  expect_split(Start::kAnswer, "<think></think>Hi", {"", "Hi"});
  expect_split(Start::kAnswer, "</think>Hi", {"", "Hi"});
}

TEST(ReasoningSplitter, NeverClosedIsAllReasoning) {
  expect_split(Start::kReasoning, "on and on </thi", {"on and on </thi", ""});
}

TEST(ReasoningSplitter, ThinksAgain) { expect_split(Start::kReasoning, "a</think>b<think>c</think>d", {"ac", "bd"}); }

TEST(ReasoningSplitter, PromptOpensReasoning) {
  EXPECT_TRUE(prompt_opens_reasoning("<|user|>Hi<|assistant|><think>"));
  EXPECT_TRUE(prompt_opens_reasoning("<|assistant|>\n<think>\n"));
  EXPECT_FALSE(prompt_opens_reasoning("<|assistant|></think>"));
  EXPECT_FALSE(prompt_opens_reasoning("<|assistant|>\n<think></think>"));
  EXPECT_FALSE(prompt_opens_reasoning("<|assistant|>"));
  EXPECT_FALSE(prompt_opens_reasoning(""));
}

}  // namespace
}  // namespace glimmer

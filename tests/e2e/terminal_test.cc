// What a model, a file or an argument says reaches a terminal as text, not as orders.
#include <gmock/gmock.h>

#include <algorithm>
#include <array>

#include "e2e/command.h"
#include "e2e/successor_model.h"
#include "format/safetensors.h"
#include "support/temp_dir.h"

namespace glimmer::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const std::string kEscape = "\x1b";
const std::string kCsi = "\u009b";

const std::string& model() {
  static const SuccessorModel instance;
  static const std::string path = instance.path();
  return path;
}

std::string on_terminal(const std::vector<std::string>& arguments, int status = 0) {
  TerminalCommand command(arguments, {"LC_ALL=C.UTF-8"});
  EXPECT_EQ(command.wait(), status);
  return command.screen();
}

// The model says the byte behind the last one.
TEST(Terminal, AnswersAreShown) {
  const std::vector<std::string> run = {"run", "-m", model(), "-q", "--raw", "-n", "3", "\x1a"};
  EXPECT_EQ(on_terminal(run), "\\u001b\\u001c\\u001d\r\n");
  EXPECT_EQ(glimmer(run).out, "\x1b\x1c\x1d\n") << "a pipe takes what there is";
  std::vector<std::string> raw = run;
  raw.insert(raw.begin() + 1, "--raw-output");
  EXPECT_EQ(on_terminal(raw), "\x1b\x1c\x1d\r\n");
  EXPECT_EQ(on_terminal({"run", "-m", model(), "-q", "--raw", "-n", "3", "\x08"}), "\t\r\n\\u000b\r\n")
      << "tabs and line ends are text";
}

TEST(Terminal, TextsOfToolsAreShown) {
  const std::string text = kEscape + "]0;title\x07" + kCsi + "2J\u202e";
  const std::string shown = "\\u001b]0;title\\u0007\\u009b2J\\u202e";
  std::string ids;
  for (const char byte : text) ids += std::to_string(static_cast<unsigned char>(byte)) + ",";
  EXPECT_THAT(on_terminal({"detokenize", "-m", model(), ids}), HasSubstr(shown));
  EXPECT_EQ(glimmer({"detokenize", "-m", model(), ids}).out, text);
}

TEST(Terminal, NamesOfTensorsAreShown) {
  const TempDir dir;
  const std::array<float, 2> values = {1, 2};
  const std::array<float, 2> others = {1, 3};
  const std::string name = "a" + kEscape + "[2J" + kCsi + "31m";
  const auto write = [&](const char* file, const std::array<float, 2>& of) {
    write_safetensors(dir.path() / file, std::vector<NamedTensor>{{name, {of.data(), DType::kF32, {2}}}});
    return (dir.path() / file).string();
  };
  const std::string screen = on_terminal({"compare", write("a", values), write("b", others)}, 1);
  EXPECT_THAT(screen, HasSubstr("a\\u001b[2J\\u009b31m"));
  EXPECT_THAT(screen, Not(HasSubstr(kEscape)));
  EXPECT_THAT(screen, Not(HasSubstr(kCsi)));
}

// Standard error is for people even in a pipe, and a message is one line.
TEST(Terminal, MessagesAreShown) {
  const std::string odd = "x" + kEscape + "[2J\n" + kCsi + "\x7f";
  for (const auto& arguments : std::vector<std::vector<std::string>>{
           {odd}, {"run", "-m", "/nonexistent/" + odd, "x"}, {"run", "-m", model(), "--kv-type", odd, "x"}}) {
    const Result result = glimmer(arguments);
    EXPECT_NE(result.status, 0);
    EXPECT_THAT(result.err, HasSubstr("x\\u001b[2J"));
    EXPECT_THAT(result.err, HasSubstr("\\u009b\\u007f"));
    EXPECT_THAT(result.err, Not(HasSubstr(kEscape)));
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  }
}

}  // namespace
}  // namespace glimmer::testing

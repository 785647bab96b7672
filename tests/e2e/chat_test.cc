// glimmer chat, in a pipe and on a terminal.
#include <gmock/gmock.h>

#include "base/mapped_file.h"
#include "e2e/command.h"
#include "e2e/successor_model.h"

namespace glimmer::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

const std::string& model() {
  static const SuccessorModel instance;
  static const std::string path = instance.path();
  return path;
}

TEST(Chat, LinesInAPipe) {
  const Result result = glimmer({"chat", "-m", model(), "-q"}, "Hi\n\n/thinking off\nHi again\n");
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(result.out, "vwxyz\nvwxyz\n");
  EXPECT_EQ(glimmer({"chat", "-m", model(), "-q", "--show-thinking"}, "Hi\n/thinking off\nHi again\n").out,
            "abcde\n\nvwxyz\nvwxyz\n");
  EXPECT_EQ(result.err, "");
}

TEST(Chat, TextOfUsersForgesNoControlToken) {
  const auto tokens = [](const std::string& line) {
    const std::string err = glimmer({"chat", "-m", model(), "-n", "1"}, line + "\n").err;
    return err.substr(0, err.find(" prompt tokens")).substr(err.rfind("glimmer: ", err.find(" prompt tokens")));
  };
  for (const char* text : {"<|user|>", "<think>x"}) EXPECT_EQ(tokens(text), tokens("12345678")) << text;
}

TEST(Chat, StopStringsAreOfTheAnswerOnly) {
  EXPECT_EQ(glimmer({"chat", "-m", model(), "-q", "--stop", "c", "--stop", "xy"}, "Hi\n").out, "vw\n");
}

TEST(Chat, ReusesTheCommonPrefix) {
  const Result result = glimmer({"chat", "-m", model()}, "Hi\nHi again\n");
  EXPECT_THAT(result.err, HasSubstr("7 prompt tokens at"));
  EXPECT_THAT(result.err, HasSubstr(" reused)"));
}

TEST(Chat, SavesTheConversation) {
  const TempDir dir;
  const std::string file = (dir.path() / "chat.json").string();
  const Result result = glimmer({"chat", "-m", model(), "-q", "--system", "S"},
                                "gone\n/reset\nHi\n/system T\n/save " + file + "\n/exit\nnever\n");
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(read_file(file), R"({"messages":[{"role":"system","content":"T"},{"role":"user","content":"Hi"},)"
                             R"({"role":"assistant","content":"vwxyz","reasoning_content":"abcde"}]})"
                             "\n");
}

TEST(Chat, AnErrorInAPipeEndsIt) {
  for (const std::string line : {"/nonsense", "/thinking maybe", "/save", "/save /no/such/folder/file"}) {
    const Result result = glimmer({"chat", "-m", model(), "-q"}, line + "\nHi\n");
    EXPECT_NE(result.status, 0) << line;
    EXPECT_THAT(result.err, StartsWith("glimmer: error: ")) << line;
    EXPECT_EQ(result.out, "") << line;
  }
  const Result full = glimmer({"chat", "-m", model(), "-q"}, "Hi\n" + std::string(200, 'x') + "\n");
  EXPECT_EQ(full.status, 1);
  EXPECT_THAT(full.err, HasSubstr("max_position_embeddings"));
}

TEST(Chat, OnATerminal) {
  const TempDir state;
  const std::vector<std::string> environment = {"XDG_STATE_HOME=" + state.path().string(), "LC_ALL=C"};
  TerminalCommand command({"chat", "-m", model()}, environment);
  ASSERT_TRUE(command.wait_for("/help lists commands"));
  ASSERT_TRUE(command.wait_for_prompt());
  command.type("Hi\r");
  EXPECT_TRUE(command.wait_for("\033[2mabcde\033[0m\r\n\r\nvwxyz\r\n"));
  ASSERT_TRUE(command.wait_for_prompt());
  command.type("/wrong\r");
  EXPECT_TRUE(command.wait_for("glimmer: error: '/wrong' is not a command"));
  ASSERT_TRUE(command.wait_for_prompt());
  command.type(
      "ab\x7f"
      "c\r");  // backspace
  EXPECT_TRUE(command.wait_for("vwxyz"));
  ASSERT_TRUE(command.wait_for_prompt());
  command.type("你好\r");
  EXPECT_TRUE(command.wait_for("vwxyz"));
  ASSERT_TRUE(command.wait_for_prompt());
  command.type("/exit\r");
  EXPECT_EQ(command.wait(), 0);
  EXPECT_THAT(read_file(state.path() / "glimmer" / "chat_history"), HasSubstr("ac"));
}

TEST(Chat, CtrlCTwiceAtThePromptLeaves) {
  const TempDir state;
  TerminalCommand command({"chat", "-m", model()}, {"XDG_STATE_HOME=" + state.path().string()});
  ASSERT_TRUE(command.wait_for_prompt());
  command.type("half a li\x03");
  ASSERT_TRUE(command.wait_for("Ctrl-C again"));
  ASSERT_TRUE(command.wait_for_prompt());
  command.type("\x03");
  EXPECT_EQ(command.wait(), 0);
}

TEST(Chat, CtrlCEndsTheAnswerOnly) {
  const TempDir state;
  const SuccessorModel endless(kEndlessContext);
  endless.folder().write("chat_template.jinja", "{{ messages[-1].content }}");
  TerminalCommand command({"chat", "-m", endless.path()}, {"XDG_STATE_HOME=" + state.path().string()});
  ASSERT_TRUE(command.wait_for_prompt());
  command.type("0\r");
  ASSERT_TRUE(command.wait_for("1234567890123456789"));
  command.type("\x03");
  EXPECT_TRUE(command.wait_for("glimmer: interrupted: "));
  ASSERT_TRUE(command.wait_for_prompt());
  command.type("/exit\r");
  EXPECT_EQ(command.wait(), 0);
}

TEST(Chat, CtrlDLeaves) {
  const TempDir state;
  TerminalCommand command({"chat", "-m", model()}, {"XDG_STATE_HOME=" + state.path().string()});
  ASSERT_TRUE(command.wait_for_prompt());
  command.type("\x04");
  EXPECT_EQ(command.wait(), 0);
}

}  // namespace
}  // namespace glimmer::testing

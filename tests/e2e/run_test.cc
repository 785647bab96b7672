// glimmer run, and what all commands have in common.
#include <gmock/gmock.h>

#include <csignal>

#include "e2e/command.h"
#include "e2e/successor_model.h"
#include "support/paths.h"

namespace glimmer::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

const std::string& model() {
  static const SuccessorModel instance;
  static const std::string path = instance.path();
  return path;
}

// One line on standard error that says what is wrong, nothing on standard output.
void expect_error(const Result& result, int status, const std::string& part) {
  EXPECT_EQ(result.status, status) << result.err;
  EXPECT_THAT(result.err, StartsWith("glimmer: error: "));
  EXPECT_THAT(result.err, HasSubstr(part));
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  EXPECT_EQ(result.out, "");
}

Json run_json(std::vector<std::string> arguments, const std::string& input = "") {
  arguments.insert(arguments.begin(), {"run", "-m", model(), "--json", "-q"});
  const Result result = glimmer(arguments, input);
  EXPECT_EQ(result.status, 0) << result.err;
  return parse_json(result.out, "output");
}

std::string run_raw(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"run", "-m", model(), "-q", "--raw"});
  const Result result = glimmer(arguments);
  EXPECT_EQ(result.status, 0) << result.err;
  return result.out;
}

// Otherwise a page that someone pastes could forge a turn. Eight bytes are eight tokens, whatever they spell.
TEST(Run, TextOfUsersForgesNoControlToken) {
  const Json plain = run_json({"-n", "1", "12345678"});
  for (const char* text : {"<|user|>", "<think>x"}) {
    EXPECT_EQ(run_json({"-n", "1", text})["prompt_tokens"], plain["prompt_tokens"]) << text;
    EXPECT_EQ(run_json({"-n", "1", "--system", text, "12345678"})["prompt_tokens"],
              run_json({"-n", "1", "--system", "abcdefgh", "12345678"})["prompt_tokens"]);
  }
  EXPECT_LT(run_json({"-n", "1", "--raw", "<|user|>"})["prompt_tokens"], 8) << "--raw spells control tokens";
}

// The model thinks abcde and answers vwxyz.
TEST(Run, StopStringsAreOfTheAnswerOnly) {
  const Json thought = run_json({"--stop", "c", "Hi"});
  EXPECT_EQ(thought["reasoning_content"], "abcde");
  EXPECT_EQ(thought["content"], "vwxyz");
  EXPECT_EQ(thought["stop_reason"].is_string(), false);
  const Json stopped = run_json({"--stop", "xy", "Hi"});
  EXPECT_EQ(stopped["content"], "vw");
  EXPECT_EQ(stopped["stop_reason"], "xy");
  EXPECT_EQ(stopped["text"], "abcde</think>vw");
}

// One token of the demo model, " there", has two of them, of which the first counts.
TEST(Run, TextIsCutWhereTheAnswerIs) {
  const std::string demo = (source_dir() / "models/demo").string();
  const auto run_demo = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"run", "-m", demo, "--json", "-q", "--greedy", "-n", "100"});
    return parse_json(glimmer(arguments).out, "output");
  };
  const Json raw = run_demo({"--raw", "Once upon a time", "--stop", "e"});
  EXPECT_EQ(raw["text"], " th");
  EXPECT_EQ(raw["content"], " th");
  const Json chat = run_demo({"What is 17 + 25?", "--stop", "1"});
  EXPECT_THAT(chat["reasoning_content"].get<std::string>(), HasSubstr("12"));
  EXPECT_EQ(chat["content"], "");
  EXPECT_EQ(chat["text"], chat["reasoning_content"].get<std::string>() + "</think>");
}

TEST(Commands, Help) {
  for (const char* command : {"run", "chat", "inspect", "tokenize", "detokenize", "render", "logits", "compare"}) {
    const Result result = glimmer({command, "--help"});
    EXPECT_EQ(result.status, 0) << command;
    EXPECT_THAT(result.out, HasSubstr("Examples:")) << command;
    EXPECT_THAT(result.out, HasSubstr(std::string("glimmer ") + command)) << command;
    EXPECT_EQ(result.err, "") << command;
    EXPECT_THAT(glimmer({"--help"}).out, HasSubstr(command));
  }
  EXPECT_EQ(glimmer({}).status, 2);
  EXPECT_THAT(glimmer({"--version"}).out, StartsWith("glimmer "));
}

TEST(Commands, WrongFlags) {
  expect_error(glimmer({"walk"}), 2, "walk");
  for (const char* command : {"run", "chat", "inspect", "tokenize", "detokenize", "render", "logits", "compare"}) {
    expect_error(glimmer({command, "--no-such-flag"}), 2, "--no-such-flag");
  }
  expect_error(glimmer({"run", "-m", model(), "-n", "-1", "x"}), 2, "max-tokens");
  expect_error(glimmer({"run", "-m", model(), "-n", "many", "x"}), 2, "many");
  expect_error(glimmer({"run", "-m", model(), "-n", "99999999999999999999", "x"}), 2, "out of range");
  expect_error(glimmer({"run", "-m", model(), "--temperature", "nan", "x"}), 2, "nan");
  expect_error(glimmer({"run", "-m", model(), "--temperature", "-1", "x"}), 2, "temperature");
  expect_error(glimmer({"run", "-m", model(), "--greedy", "--temperature", "1", "x"}), 2, "--greedy");
  expect_error(glimmer({"run", "-m", model(), "--top-p", "1.5", "x"}), 2, "top_p");
  expect_error(glimmer({"run", "-m", model(), "--logit-bias", "5", "x"}), 2, "ID=VALUE");
  expect_error(glimmer({"run", "-m", model(), "--stop", "", "x"}), 2, "--stop");
  expect_error(glimmer({"run", "-m", model(), "--template-arg", "k", "x"}), 2, "KEY=VALUE");
  expect_error(glimmer({"run", "-m", model(), "--raw", "--system", "s", "x"}), 2, "--raw");
  expect_error(glimmer({"run", "-m", model(), "--ids", "1", "x"}), 2, "--ids");
  expect_error(glimmer({"run", "-m", model(), "one", "two"}), 2, "two");
  expect_error(glimmer({"run", "-m", model(), "-t", "-3", "x"}), 2, "threads");
  expect_error(glimmer({"run", "-m", model(), "--backend", "abacus", "x"}), 2, "ref");
  expect_error(glimmer({"run", "-m", model(), "--precision", "rough", "x"}), 2, "'rough'; known: fast, exact");
}

TEST(Commands, MissingModel) {
  for (const char* command : {"run", "chat", "inspect", "tokenize", "render"}) {
    expect_error(glimmer({command, "-m", "/no/such/folder"}, "x"), 1, "/no/such/folder");
  }
  expect_error(glimmer({"run", "x"}, "", {"GLIMMER_DEMO_MODEL=/no/such/demo"}), 1, "/no/such/demo");
}

TEST(Run, DemoModelFromTheEnvironment) {
  const Result result = glimmer({"run", "-q", "--raw", "X"}, "", {"GLIMMER_DEMO_MODEL=" + model()});
  EXPECT_EQ(result.out, "YZ\n");
}

TEST(Run, AnswersWithTheTemplate) {
  const Result result = glimmer({"run", "-m", model(), "Hello"});
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(result.out, "vwxyz\n");
  EXPECT_THAT(result.err, HasSubstr("glimmer: loaded "));
  EXPECT_THAT(result.err, HasSubstr("10 prompt tokens at "));
  EXPECT_THAT(result.err, HasSubstr(", 12 generated at "));
  EXPECT_THAT(result.err, EndsWith(" GB/s\n"));
}

TEST(Run, Quiet) {
  const Result result = glimmer({"run", "-m", model(), "-q", "Hello"});
  EXPECT_EQ(result.err, "");
}

// In a pipe only the answer; reasoning is asked for, or all that the model writes with --raw.
TEST(Run, ShowsReasoningApart) {
  EXPECT_EQ(glimmer({"run", "-m", model(), "-q", "--show-thinking", "Hi"}).out, "abcde\n\nvwxyz\n");
  EXPECT_EQ(glimmer({"run", "-m", model(), "-q", "--show-thinking", "--no-thinking", "Hi"}).out, "vwxyz\n");
  EXPECT_EQ(glimmer({"run", "-m", model(), "-q", "--raw", "-n", "7", "a"}).out, "bcde</think>vw\n");
  const Result cut = glimmer({"run", "-m", model(), "-n", "3", "Hi"});
  EXPECT_EQ(cut.out, "");
  EXPECT_THAT(cut.err, HasSubstr("there is no answer"));
  EXPECT_EQ(glimmer({"run", "-m", model(), "-q", "-n", "3", "--show-thinking", "Hi"}).out, "abc\n");
}

TEST(Run, NoThinkingAndTemplateArguments) {
  EXPECT_EQ(glimmer({"run", "-m", model(), "-q", "--no-thinking", "Hi"}).out, "vwxyz\n");
  EXPECT_EQ(glimmer({"run", "-m", model(), "-q", "--template-arg", "enable_thinking=false", "Hi"}).out, "vwxyz\n");
}

TEST(Run, SystemAndTools) {
  const TempDir dir;
  const auto tools = dir.write("tools.json", R"([{"type": "function", "function": {"name": "f"}}])");
  const auto wrapped = dir.write("wrapped.json", R"({"tools": [{"name": "f"}]})");
  const auto number = dir.write("number.json", R"([1])");
  const auto bad = dir.write("bad.json", R"({"name": "f"})");
  const int64_t plain = run_json({"Hi"})["prompt_tokens"].get<int64_t>();
  EXPECT_EQ(run_json({"--system", "abc", "Hi"})["prompt_tokens"], plain + 4);
  EXPECT_EQ(run_json({"--tools", tools.string(), "Hi"})["prompt_tokens"], plain + 1);
  EXPECT_EQ(run_json({"--tools", wrapped.string(), "Hi"})["prompt_tokens"], plain + 1);
  expect_error(glimmer({"run", "-m", model(), "--tools", bad.string(), "Hi"}), 1, "bad.json");
  expect_error(glimmer({"run", "-m", model(), "--tools", number.string(), "Hi"}), 1,
               "expected each tool to be an object");
}

TEST(Run, JsonTellsToolCalls) {
  const TempDir dir;
  const auto tools = dir.write("tools.json", R"([{"name": "kurskuSpaish", "description": "Kursku the spaish",
      "parameters": {"type": "object", "properties": {"count": {"type": "integer"}, "comment": {"type": "string"}},
                     "required": ["count", "comment"]}}])");
  const std::vector<std::string> arguments = {
      "run",     "-m",           (source_dir() / "models/demo").string(),
      "-q",      "--greedy",     "--json",
      "--tools", tools.string(), "Can you kursku the spaish with count = 341 and comment set to 45?"};
  const Json out = parse_json(glimmer(arguments).out, "output");
  EXPECT_EQ(out["tool_calls"],
            Json::parse(R"([{"name": "kurskuSpaish", "arguments": "{\"count\": 341, \"comment\": \"45\"}"}])"));
  EXPECT_EQ(out["content"], "");
  EXPECT_NE(out["reasoning_content"], "");
  EXPECT_THAT(out["text"].get<std::string>(), HasSubstr("<tool_call>kurskuSpaish<arg_key>"));
  EXPECT_EQ(run_json({"Hi"})["tool_calls"], Json::array());
}

TEST(Run, PromptFromFileOrPipe) {
  const TempDir dir;
  const auto file = dir.write("prompt.txt", "W\n");
  EXPECT_EQ(glimmer({"run", "-m", model(), "-q", "--raw", "-f", file.string()}).out, "XYZ\n");
  EXPECT_EQ(glimmer({"run", "-m", model(), "-q", "--raw"}, "W").out, "XYZ\n");
  EXPECT_EQ(glimmer({"run", "-m", model(), "-q", "--raw"}, "W\r\n").out, "XYZ\n");
  EXPECT_EQ(glimmer({"run", "-m", model(), "-q", "--raw", "-f", "-"}, "W\n").out, "XYZ\n");
  EXPECT_EQ(glimmer({"run", "-m", model(), "-q", "--raw", "X"}, "W").out, "YZ\n") << "the argument counts";
  expect_error(glimmer({"run", "-m", model(), "-f", "/no/such/file"}), 1, "/no/such/file");
}

TEST(Run, PromptsThatLookLikeSomethingElse) {
  EXPECT_EQ(run_raw({"-n", "1", "{}"}), "~\n");
  EXPECT_EQ(run_raw({"-n", "1", "[1,2"}), "3\n");
  EXPECT_EQ(run_raw({"-n", "1", "[0,X]"}), "^\n");
  EXPECT_EQ(run_raw({"-n", "1", "--", "--5"}), "6\n");
}

TEST(Run, EmptyPrompt) {
  expect_error(glimmer({"run", "-m", model(), ""}), 2, "empty");
  expect_error(glimmer({"run", "-m", model()}, ""), 2, "empty");
  expect_error(glimmer({"run", "-m", model()}, "\n"), 2, "empty");
  expect_error(glimmer({"run", "-m", model(), "--ids", ""}), 2, "no ids");
}

TEST(Run, BadUtf8IsReplaced) {
  // Each ill-formed byte is read as U+FFFD: three tokens of this vocabulary.
  EXPECT_EQ(run_json({"--raw",
                      "\xff\xfe"
                      "A"})["prompt_tokens"],
            7);
  const Result result = glimmer({"run", "-m", model(), "-q"}, "\xc3(\xff");
  EXPECT_EQ(result.status, 0) << result.err;
}

TEST(Run, OutputIsValidUtf8) {
  // Byte 0x7f is followed by 0x80, which no character begins with.
  EXPECT_EQ(run_raw({"-n", "1", "\x7f"}), "\xEF\xBF\xBD\n");
}

TEST(Run, PromptLongerThanTheContext) {
  expect_error(glimmer({"run", "-m", model(), std::string(200, 'x')}), 1, "max_position_embeddings");
  expect_error(glimmer({"run", "-m", model(), "--raw", std::string(kSuccessorContext, 'x')}), 1, "128 tokens");
  EXPECT_EQ(run_json({"--raw", std::string(kSuccessorContext - 1, '5')})["completion_tokens"], 1);
}

TEST(Run, Length) {
  EXPECT_EQ(run_raw({"-n", "3", "0"}), "123\n");
  EXPECT_EQ(run_raw({"-n", "0", "0"}), "");
  const Json full = run_json({"--raw", "0"});
  EXPECT_EQ(full["completion_tokens"], kSuccessorContext - 1);
  EXPECT_EQ(full["finish_reason"], "length");
  EXPECT_EQ(full["stop_reason"], nullptr);
}

TEST(Run, StopStrings) {
  EXPECT_EQ(run_raw({"--stop", "567", "0"}), "1234\n");
  EXPECT_EQ(run_raw({"--stop", "xyz", "--stop", "90", "0"}), "12345678\n");
  const Json out = run_json({"--raw", "--stop", "34", "0"});
  EXPECT_EQ(out["text"], "12");
  EXPECT_EQ(out["finish_reason"], "stop");
  EXPECT_EQ(out["stop_reason"], "34");
  EXPECT_THAT(out["ids"].get<std::vector<int>>(), ElementsAre('1', '2', '3', '4'));
}

TEST(Run, EndOfSequence) {
  const Json out = run_json({"--raw", "X"});
  EXPECT_THAT(out["ids"].get<std::vector<int>>(), ElementsAre('Y', 'Z', kEndOfText));
  EXPECT_EQ(out["text"], "YZ");
  EXPECT_EQ(out["finish_reason"], "stop");
  EXPECT_EQ(out["stop_reason"], kEndOfText);
  const Json on = run_json({"--raw", "--ignore-eos", "-n", "4", "X"});
  EXPECT_EQ(on["text"], "YZ<|endoftext|>[gMASK]");
  EXPECT_EQ(on["finish_reason"], "length");
}

TEST(Run, EndIsKnownFromTheTokenizerToo) {
  const SuccessorModel bare;
  bare.folder().write("generation_config.json", "{}");
  std::filesystem::remove(bare.folder().path() / "tokenizer_config.json");
  const Json inspected = parse_json(glimmer({"inspect", "-m", bare.path(), "--json"}).out, "output");
  EXPECT_THAT(inspected["eos_token_ids"].get<std::vector<int>>(), ElementsAre(256, 260, 262));
}

TEST(Run, JsonTellsReasoningFromAnswer) {
  const Json out = run_json({"Hi"});
  EXPECT_EQ(out["text"], "abcde</think>vwxyz");
  EXPECT_EQ(out["reasoning_content"], "abcde");
  EXPECT_EQ(out["content"], "vwxyz");
  EXPECT_GT(out["timings"]["prefill_tokens"], 0);
  EXPECT_EQ(out["timings"]["decode_tokens"], 11);
}

TEST(Run, IdsWithoutATokenizer) {
  const SuccessorModel bare;
  std::filesystem::remove(bare.folder().path() / "tokenizer.json");
  std::filesystem::remove(bare.folder().path() / "chat_template.jinja");
  EXPECT_EQ(glimmer({"run", "-m", bare.path(), "-q", "--ids", "48,49", "-n", "3"}).out, "50,51,52\n");
  const Result json = glimmer({"run", "-m", bare.path(), "-q", "--ids", "88", "--json"});
  const Json out = parse_json(json.out, "output");
  EXPECT_THAT(out["ids"].get<std::vector<int>>(), ElementsAre('Y', 'Z', kEndOfText));
  EXPECT_EQ(out["text"], nullptr);
  expect_error(glimmer({"run", "-m", bare.path(), "Hi"}), 1, "--ids");
  expect_error(glimmer({"run", "-m", bare.path(), "--ids", "48", "--stop", "5"}), 2, "--stop");
}

TEST(Run, BadIds) {
  expect_error(glimmer({"run", "-m", model(), "--ids", "1,two"}), 2, "two");
  expect_error(glimmer({"run", "-m", model(), "--ids", "1,-2"}), 2, "-2");
  expect_error(glimmer({"run", "-m", model(), "--ids", "1,265"}), 1, "265");
  expect_error(glimmer({"run", "-m", model(), "--ids", "4294967296"}), 2, "4294967296");
}

TEST(Run, SameSeedSameText) {
  const std::vector<std::string> hot = {"--raw", "--temperature", "20", "-n", "20", "--ignore-eos", "--seed", "7", "0"};
  const Json first = run_json(hot);
  EXPECT_EQ(first["seed"], 7);
  std::vector<std::string> one_thread = hot;
  one_thread.insert(one_thread.end(), {"-t", "1"});
  EXPECT_EQ(run_json(one_thread)["ids"], first["ids"]);
  std::vector<std::string> other = hot;
  other[7] = "8";
  EXPECT_NE(run_json(other)["ids"], first["ids"]);
}

TEST(Run, SamplesAsTheModelFolderSays) {
  const SuccessorModel hot;
  hot.folder().write("generation_config.json", R"({"do_sample": true, "temperature": 50.0, "eos_token_id": 256})");
  const auto text = [&](std::vector<std::string> flags) {
    flags.insert(flags.begin(), {"run", "-m", hot.path(), "-q", "--raw", "-n", "20", "--seed", "1", "0"});
    return glimmer(flags).out;
  };
  EXPECT_NE(text({}), "12345678901234567890\n");
  EXPECT_EQ(text({"--greedy"}), "12345678901234567890\n");
  EXPECT_EQ(text({"--temperature", "0"}), "12345678901234567890\n");
  EXPECT_EQ(text({"--top-k", "1"}), "12345678901234567890\n");
  // Values that are there are there to be sampled with, but for do_sample false.
  hot.folder().write("generation_config.json", R"({"temperature": 50.0, "eos_token_id": 256})");
  EXPECT_NE(text({}), "12345678901234567890\n");
  hot.folder().write("generation_config.json", R"({"do_sample": false, "temperature": 50.0, "eos_token_id": 256})");
  EXPECT_EQ(text({}), "12345678901234567890\n");
  hot.folder().write("generation_config.json", R"({"eos_token_id": 256})");
  EXPECT_EQ(text({}), "12345678901234567890\n");  // no released model has this shape
}

TEST(Run, TruncatedWeights) {
  const SuccessorModel broken;
  const auto weights = broken.folder().path() / "model.safetensors";
  const auto size = std::filesystem::file_size(weights);
  for (const uintmax_t left : {uintmax_t{0}, uintmax_t{7}, uintmax_t{8}, uintmax_t{100}, size / 2, size - 1}) {
    std::filesystem::resize_file(weights, left);
    expect_error(glimmer({"run", "-m", broken.path(), "-q", "--raw", "0"}), 1, "model.safetensors");
  }
}

TEST(Run, InterruptEndsItCleanly) {
  const SuccessorModel endless(kEndlessContext);
  Command command({"run", "-m", endless.path(), "--raw", "0"});
  command.wait_for_output(100);
  command.signal(SIGINT);
  const Result result = command.wait();
  EXPECT_EQ(result.status, 130);
  EXPECT_THAT(result.err, HasSubstr("glimmer: interrupted: "));
  EXPECT_THAT(result.out, EndsWith("\n"));
}

TEST(Run, AClosedPipeEndsItQuietly) {
  Command command({"run", "-m", model(), "--raw", "-q", "0"});
  command.close_output();
  const Result result = command.wait();
  EXPECT_EQ(result.status, 128 + SIGPIPE);
  EXPECT_EQ(result.err, "");
}

TEST(Run, AFullDiskIsAnError) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "no /dev/full";
  const std::string line = std::string(GLIMMER_BINARY) + " run -q --raw -m " + model() + " 0 > /dev/full 2> /dev/null";
  EXPECT_EQ(WEXITSTATUS(std::system(line.c_str())), 1);
}

TEST(Run, AFullOrClosedStandardErrorChangesNoStatus) {
  const auto status = [](const std::string& rest) {
    return WEXITSTATUS(std::system((std::string(GLIMMER_BINARY) + rest).c_str()));
  };
  EXPECT_EQ(status(" run --raw -n 2 -m " + model() + " 0 > /dev/null 2> /dev/full"), 0);
  EXPECT_EQ(status(" run -m /nowhere hi 2> /dev/full"), 1);
  EXPECT_EQ(status(" tokenize -q 2>&-"), 2);
}

TEST(Run, DimsReasoningOnATerminal) {
  TerminalCommand command({"run", "-m", model(), "Hi"});
  EXPECT_EQ(command.wait(), 0);
  EXPECT_THAT(command.screen(), HasSubstr("\033[2mabcde\033[0m\r\n\r\nvwxyz\r\n"));
  EXPECT_THAT(command.screen(), Not(HasSubstr("think")));
  TerminalCommand plain({"run", "-m", model(), "-q", "Hi"}, {"NO_COLOR=1"});
  EXPECT_EQ(plain.wait(), 0);
  EXPECT_EQ(plain.screen(), "abcde\r\n\r\nvwxyz\r\n");
}

}  // namespace
}  // namespace glimmer::testing

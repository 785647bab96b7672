// glimmer chat: chats in the terminal, or with lines from a pipe.
#include <cstdio>

#include "apps/chat_session.h"
#include "apps/command.h"
#include "apps/line_editor.h"
#include "apps/loading.h"
#include "apps/terminal.h"
#include "base/error.h"
#include "engine/local_runner.h"
#include "session/model_files.h"

namespace glimmer::apps {
namespace {

constexpr const char* kChatHelp =
    "/help            show this list\n"
    "/reset           forget the conversation\n"
    "/system TEXT     set the system message (no TEXT: remove it)\n"
    "/thinking on|off enable or disable reasoning\n"
    "/save FILE       write the conversation as JSON\n"
    "/exit            exit (or Ctrl-D)\n"
    "Ctrl-C stops an answer; twice at the prompt, it exits.\n";

struct ChatOptions {
  ModelFlags model;
  RuntimeFlags runtime;
  SamplingFlags sampling;
  LengthFlags length;
  TemplateFlags template_flags;
  std::string system;
  bool quiet = false;
  bool show_thinking = false;
  bool raw_output = false;
};

enum class Next { kGoOn, kLeave };

// Handles one line of input: a command, or a message to answer.
class ChatLoop {
 public:
  ChatLoop(ChatSession& session, bool quiet) : session_(session), quiet_(quiet) {}

  Next take(const std::string& line) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) return Next::kGoOn;
    if (line.front() == '/') return command(line);
    session_.answer(line);
    if (!quiet_) tell("glimmer: {}\n", session_.statistics());
    if (session_.context_full()) tell("glimmer: the context is full; /reset starts over\n");
    return Next::kGoOn;
  }

 private:
  Next command(const std::string& line) {
    const size_t space = line.find(' ');
    const std::string name = line.substr(0, space);
    const size_t begin = line.find_first_not_of(' ', std::min(space, line.size()));
    const std::string argument = begin == std::string::npos ? "" : line.substr(begin);
    if (name == "/exit" || name == "/quit") return Next::kLeave;
    if (name == "/help") {
      write_diagnostics(kChatHelp);
    } else if (name == "/reset") {
      session_.reset();
    } else if (name == "/system") {
      session_.set_system(argument);
    } else if (name == "/thinking" && (argument == "on" || argument == "off")) {
      session_.set_thinking(argument == "on");
    } else if (name == "/save" && !argument.empty()) {
      session_.save(argument);
      tell("glimmer: saved {}\n", argument);
    } else {
      fail(ErrorCode::kUsage, "'{}' is not a command; /help lists them", line);
    }
    return Next::kGoOn;
  }

  ChatSession& session_;
  bool quiet_;
};

// Interactive: errors are reported, and the conversation goes on.
int talk(ChatLoop& loop) {
  LineEditor editor("> ", state_file("chat_history"));
  bool interrupted_before = false;
  for (std::string line;;) {
    const LineStatus status = editor.read(line);
    if (status == LineStatus::kEnd) break;
    if (status == LineStatus::kInterrupted) {
      if (interrupted_before) break;
      tell("\nglimmer: press Ctrl-C again, or type /exit, to exit\n");
      interrupted_before = true;
      continue;
    }
    interrupted_before = false;
    try {
      if (loop.take(line) == Next::kLeave) return 0;
    } catch (const Error& error) {
      tell("glimmer: error: {}\n", error.what());
    }
  }
  write_output("\n");
  return 0;
}

// From a script: each line is a message, and an error ends the program.
int talk_in_pipe(ChatLoop& loop) {
  LineReader reader;
  while (const auto line = reader.next()) {
    if (loop.take(*line) == Next::kLeave) break;
  }
  return 0;
}

void add_flags(Flags& flags, ChatOptions& options) {
  options.model.add(flags);
  flags.add("--system", options.system, "TEXT", "System message")
      .add_switch("--show-thinking", options.show_thinking,
                  "Print the reasoning in a pipe too (on a terminal it is shown dimmed)")
      .add_switch("-q,--quiet", options.quiet, "Print nothing but errors on standard error")
      .add_switch("--raw-output", options.raw_output, kRawOutputHelp);
  options.template_flags.add(flags);
  options.length.add(flags);
  options.sampling.add(flags);
  options.runtime.add(flags);
  options.runtime.add_precision(flags, Precision::kFast);
  flags.examples(
      "  glimmer chat\n"
      "  glimmer chat -m ~/models/GLM-4.7-Flash --system \"Answer in Chinese\" --temperature 0.7\n"
      "  printf 'Hello\\nWhat did I say?\\n' | glimmer chat -q");
}

}  // namespace

int chat_command(Arguments arguments) {
  ChatOptions options;
  Flags flags(
      "chat",
      std::string("Chats with a model. If standard input is not a terminal, each line is a message.\n\n") + kChatHelp);
  add_flags(flags, options);
  if (!flags.parse(arguments)) return 0;
  options.length.check();
  if (options.raw_output) allow_raw_output();

  ModelFiles files = open_model(options.model.folder_or_file());
  ChatSettings settings;
  settings.stop = options.length.stop;
  settings.template_flags = options.template_flags;
  settings.generation.sampling = options.sampling.resolve(files.sampling, files.config.vocab_size);
  if (!options.length.ignore_eos) settings.generation.stop_ids = files.stop_ids();
  const ChatModel chat = chat_model(files);
  if (!options.quiet && files.sampling.samples) tell("glimmer: default sampling: {}\n", files.sampling.describe());
  settings.generation.max_new_tokens = options.length.max_tokens;
  settings.reasoning = shown_reasoning(stdout_is_terminal(), options.show_thinking);

  Context context(options.runtime.context_options());
  const Model model = load_model(files.source, context, options.quiet ? LoadReport::kQuiet : LoadReport::kShown);
  LocalRunner runner(model, context);
  ChatSession session(runner, chat, std::move(settings));
  session.set_system(options.system);
  ChatLoop loop(session, options.quiet);
  if (!stdin_is_terminal()) return talk_in_pipe(loop);
  if (!options.quiet) {
    tell("glimmer: talking with {} ({}); /help lists commands\n", files.files.model, files.config.model_type);
  }
  return talk(loop);
}

}  // namespace glimmer::apps

// glimmer: one binary, a table of subcommands.
#include <fmt/format.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <new>
#include <string>
#include <string_view>
#include <system_error>

#include "apps/command.h"
#include "apps/interrupt.h"
#include "apps/terminal.h"
#include "base/error.h"
#include "base/mapped_file.h"
#include "base/name_table.h"

namespace glimmer::apps {
namespace {

struct Command {
  std::string_view name;
  std::string_view summary;
  int (*run)(Arguments arguments);
};

constexpr std::array<Command, 15> kCommands = {{
    {"run", "Answer one prompt", run_command},
    {"chat", "Chat with a model", chat_command},
    {"serve", "Serve a model over HTTP (OpenAI and Anthropic APIs)", serve_command},
    {"convert", "Convert a model to another format, or quantise it", convert_command},
    {"inspect", "Show what a model consists of, and which kernels this machine uses", inspect_command},
    {"tokenize", "Convert text to token ids", tokenize_command},
    {"detokenize", "Convert token ids to text", detokenize_command},
    {"render", "Render messages to a prompt with the model's chat template", render_command},
    {"logits", "Print the logits of a prompt, or trace every intermediate tensor", logits_command},
    {"compare", "Find where two tensor files diverge", compare_command},
    {"eval", "Measure perplexity on a text, or divergence between two models", eval_command},
    {"imatrix", "Measure the importance of weight columns, for convert --imatrix", imatrix_command},
    {"bench", "Benchmark a model against what the machine can do", bench_command},
    {"plan", "Estimate whether a model fits this machine, and how fast it would run", plan_command},
    {"models", "List the released models that Glimmer has cards for", models_command},
}};

std::string help_text() {
  std::string text =
      "Glimmer runs GLM-4 mixture-of-experts language models.\n\n"
      "Usage: glimmer COMMAND [OPTIONS]\n\nCommands:\n";
  for (const Command& command : kCommands) text += fmt::format("  {:<12}{}\n", command.name, command.summary);
  text +=
      "\n  glimmer COMMAND --help   flags and examples of a command\n"
      "  glimmer --version        the version\n\n"
      "Examples:\n"
      "  glimmer run \"What is 17 + 25?\"\n"
      "  glimmer chat -m ~/models/GLM-4.7-Flash\n";
  return text;
}

int dispatch(Arguments arguments) {
  if (arguments.empty()) {
    write_diagnostics(help_text());
    return 2;
  }
  const std::string_view name = arguments[0];
  if (name == "--help" || name == "-h" || name == "help") {
    write_output(help_text());
    return 0;
  }
  if (name == "--version") {
    write_output("glimmer " GLIMMER_VERSION "\n");
    return 0;
  }
  if (const Command* command = find_named(kCommands, name, &Command::name)) return command->run(arguments.subspan(1));
  fail(ErrorCode::kUsage, "there is no command '{}'; the commands are {}", name, list_names(kCommands, &Command::name));
}

int exit_status(ErrorCode code) {
  switch (code) {
    case ErrorCode::kUsage:
      return 2;
    case ErrorCode::kCancelled:
      return kInterruptedExitStatus;
    default:
      return 1;
  }
}

void print_error(std::string_view message) {
  std::fflush(stdout);  // what was printed before the fault comes first
  tell("glimmer: error: {}\n", message);
}

int guarded_main(Arguments arguments) {
  try {
    const int status = dispatch(arguments);
    end_output();
    check_mapped_files();  // what was printed may come of zeros
    return status;
  } catch (const Error& error) {
    try {
      check_mapped_files();  // then what was read wrong is the reason
    } catch (const Error& reason) {
      print_error(reason.what());
      return 1;
    }
    if (error.code() == ErrorCode::kCancelled) {
      tell("glimmer: {}\n", error.what());
    } else {
      print_error(error.what());
    }
    return exit_status(error.code());
  } catch (const std::bad_alloc&) {
    print_error("out of memory");
  } catch (const std::system_error& error) {
    const bool no_thread = error.code() == std::errc::resource_unavailable_try_again;  // it says no more than that
    print_error(no_thread ? "the system gives no more threads (see ulimit -u, and the limits of the container)"
                          : error.what());
  } catch (const std::exception& error) {
    print_error(error.what());
  }
  return 1;
}

}  // namespace
}  // namespace glimmer::apps

int main(int argc, char** argv) {
  // `glimmer ... | head -1` ends quietly, even where the parent process ignores SIGPIPE.
  std::signal(SIGPIPE, SIG_DFL);
  return glimmer::apps::guarded_main({argv + 1, argc > 0 ? static_cast<size_t>(argc - 1) : 0});
}

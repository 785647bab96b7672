// Runs the built binary as a user would.
#pragma once

#include <string>
#include <vector>

namespace glimmer::testing {

struct Result {
  int status = 0;  // the exit status; 128 + N if signal N ended it
  std::string out;
  std::string err;
};

// One process with its three standard streams in pipes.
class Command {
 public:
  // `environment` is added to ours, as "NAME=value".
  explicit Command(std::vector<std::string> arguments, std::vector<std::string> environment = {});
  ~Command();  // ends the process if it still runs
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;

  void write(const std::string& text);
  void close_input();
  void close_output();      // as `| head -1` does
  std::string read_line();  // of standard output; waits
  void wait_for_output(size_t size_bytes);
  void wait_for_error(const std::string& text);  // until standard error has it
  void signal(int number);
  Result wait();  // closes the input and takes what is left of the output

 private:
  int pid_ = -1;
  int in_ = -1;
  int out_ = -1;
  int err_ = -1;
  std::string buffered_;
  std::string buffered_err_;
};

// Runs to the end.
Result glimmer(std::vector<std::string> arguments, const std::string& input = "",
               std::vector<std::string> environment = {});

// The same on a terminal: standard input, output and error are one pseudo-terminal.
class TerminalCommand {
 public:
  explicit TerminalCommand(std::vector<std::string> arguments, std::vector<std::string> environment = {});
  ~TerminalCommand();
  TerminalCommand(const TerminalCommand&) = delete;
  TerminalCommand& operator=(const TerminalCommand&) = delete;

  void type(const std::string& keys);  // "\x03" is Ctrl-C
  // Reads until `text` has appeared since the last call; false if it has not within some seconds.
  bool wait_for(const std::string& text);
  // Waits for the line editor's prompt "> ", and until it takes single keys: it prints the prompt first, and a Ctrl-D
  // typed in between would be lost.
  bool wait_for_prompt();
  int wait();  // the exit status, as in Result
  const std::string& screen() const { return screen_; }

 private:
  int pid_ = -1;
  int terminal_ = -1;
  std::string screen_;
  size_t seen_ = 0;
};

}  // namespace glimmer::testing

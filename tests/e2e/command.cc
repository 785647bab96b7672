#include "e2e/command.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <stdexcept>

namespace glimmer::testing {
namespace {

constexpr int kPatienceMs = 60'000;  // sanitizers are slow

[[noreturn]] void execute(const std::vector<std::string>& arguments, const std::vector<std::string>& environment) {
  for (const std::string& entry : environment) {
    const size_t equals = entry.find('=');
    ::setenv(entry.substr(0, equals).c_str(), entry.substr(equals + 1).c_str(), 1);
  }
  std::vector<char*> argv = {const_cast<char*>(GLIMMER_BINARY)};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  ::execv(GLIMMER_BINARY, argv.data());
  ::_exit(127);
}

int exit_status(int pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

void close_once(int& fd) {
  if (fd >= 0) ::close(fd);
  fd = -1;
}

// Appends what comes next to `text`; false at the end of the stream or when nothing comes in time.
bool read_some(int fd, std::string& text) {
  pollfd input = {.fd = fd, .events = POLLIN, .revents = 0};
  if (::poll(&input, 1, kPatienceMs) <= 0) return false;
  std::array<char, 4096> block;
  const ssize_t got = ::read(fd, block.data(), block.size());
  if (got <= 0) return false;
  text.append(block.data(), static_cast<size_t>(got));
  return true;
}

}  // namespace

Command::Command(std::vector<std::string> arguments, std::vector<std::string> environment) {
  std::signal(SIGPIPE, SIG_IGN);  // the process may end before it has read all its input
  std::array<int, 2> in;
  std::array<int, 2> out;
  std::array<int, 2> err;
  for (auto* ends : {&in, &out, &err}) {
    if (::pipe2(ends->data(), O_CLOEXEC) != 0) throw std::runtime_error("pipe");
  }
  pid_ = ::fork();
  if (pid_ == 0) {
    ::dup2(in[0], 0);
    ::dup2(out[1], 1);
    ::dup2(err[1], 2);
    execute(arguments, environment);
  }
  in_ = in[1];
  out_ = out[0];
  err_ = err[0];
  for (const int fd : {in[0], out[1], err[1]}) ::close(fd);
}

Command::~Command() {
  close_once(in_);
  close_once(out_);
  close_once(err_);
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    exit_status(pid_);
  }
}

void Command::write(const std::string& text) {
  for (size_t at = 0; at < text.size();) {
    const ssize_t put = ::write(in_, text.data() + at, text.size() - at);
    if (put <= 0) return;
    at += static_cast<size_t>(put);
  }
}

void Command::close_input() { close_once(in_); }
void Command::close_output() { close_once(out_); }
void Command::signal(int number) { ::kill(pid_, number); }

std::string Command::read_line() {
  size_t end;
  while ((end = buffered_.find('\n')) == std::string::npos) {
    if (!read_some(out_, buffered_)) break;
  }
  std::string line = buffered_.substr(0, end);
  buffered_.erase(0, end == std::string::npos ? end : end + 1);
  return line;
}

void Command::wait_for_output(size_t size_bytes) {
  while (buffered_.size() < size_bytes && read_some(out_, buffered_)) {
  }
}

void Command::wait_for_error(const std::string& text) {
  while (buffered_err_.find(text) == std::string::npos && read_some(err_, buffered_err_)) {
  }
}

Result Command::wait() {
  close_input();
  Result result;
  result.out = std::move(buffered_);
  result.err = std::move(buffered_err_);
  while (out_ >= 0 || err_ >= 0) {
    std::array<pollfd, 2> streams = {{{out_, POLLIN, 0}, {err_, POLLIN, 0}}};  // poll ignores a negative one
    if (::poll(streams.data(), streams.size(), kPatienceMs) <= 0) break;
    if (streams[0].revents != 0 && !read_some(out_, result.out)) close_once(out_);
    if (streams[1].revents != 0 && !read_some(err_, result.err)) close_once(err_);
  }
  result.status = exit_status(pid_);
  pid_ = -1;
  return result;
}

Result glimmer(std::vector<std::string> arguments, const std::string& input, std::vector<std::string> environment) {
  Command command(std::move(arguments), std::move(environment));
  command.write(input);
  return command.wait();
}

TerminalCommand::TerminalCommand(std::vector<std::string> arguments, std::vector<std::string> environment) {
  pid_ = ::forkpty(&terminal_, nullptr, nullptr, nullptr);
  if (pid_ == 0) {
    environment.emplace_back("TERM=vt100");
    execute(arguments, environment);
  }
}

TerminalCommand::~TerminalCommand() {
  close_once(terminal_);
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    exit_status(pid_);
  }
}

void TerminalCommand::type(const std::string& keys) {
  if (::write(terminal_, keys.data(), keys.size()) < 0) throw std::runtime_error("terminal closed");
}

bool TerminalCommand::wait_for(const std::string& text) {
  for (;;) {
    const size_t at = screen_.find(text, seen_);
    if (at != std::string::npos) {
      seen_ = at + text.size();
      return true;
    }
    if (!read_some(terminal_, screen_)) return false;
  }
}

bool TerminalCommand::wait_for_prompt() {
  if (!wait_for("> ")) return false;
  for (int waited_ms = 0; waited_ms < kPatienceMs; ++waited_ms) {
    termios mode = {};
    if (::tcgetattr(terminal_, &mode) == 0 && (mode.c_lflag & ICANON) == 0) return true;
    ::usleep(1000);
  }
  return false;
}

int TerminalCommand::wait() {
  while (read_some(terminal_, screen_)) {
  }
  const int status = exit_status(pid_);
  pid_ = -1;
  return status;
}

}  // namespace glimmer::testing

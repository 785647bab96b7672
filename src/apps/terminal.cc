#include "apps/terminal.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace glimmer::apps {
namespace {

constexpr size_t kBlockBytes = size_t{1} << 16;

// "12.3 M" with at most one decimal of the largest unit that leaves at least 1 before the point.
std::string human(int64_t value, const std::array<const char*, 5>& units) {
  double scaled = static_cast<double>(value);
  size_t unit = 0;
  while (std::abs(scaled) >= 999.95 && unit + 1 < units.size()) {
    scaled /= 1000;
    ++unit;
  }
  return unit == 0 ? fmt::format("{}{}", value, units[0]) : fmt::format("{:.1f}{}", scaled, units[unit]);
}

// Of standard output, of which there is one.
struct OutputState {
  bool is_filtered = stdout_is_terminal();
  PrintableText printable;
};

OutputState& output_state() {
  static OutputState state;
  return state;
}

}  // namespace

bool stdin_is_terminal() { return isatty(STDIN_FILENO) == 1; }
bool stdout_is_terminal() { return isatty(STDOUT_FILENO) == 1; }
bool stderr_is_terminal() { return isatty(STDERR_FILENO) == 1; }

void write_output(std::string_view text) {
  OutputState& output = output_state();
  if (output.is_filtered) {
    write_terminal_code(output.printable.add(text));
  } else {
    write_terminal_code(text);
  }
}

void write_terminal_code(std::string_view code) {
  if (std::fwrite(code.data(), 1, code.size(), stdout) != code.size()) {
    fail(ErrorCode::kIo, "cannot write to standard output: {}", std::strerror(errno));
  }
}

void allow_raw_output() { output_state().is_filtered = false; }

void end_output() {
  write_terminal_code(output_state().printable.finish());
  flush_output();
}

void flush_output() {
  if (std::fflush(stdout) != 0) fail(ErrorCode::kIo, "cannot write to standard output: {}", std::strerror(errno));
}

void write_exact_text(std::string_view text) {
  write_output(text);
  if (stdout_is_terminal() && !text.ends_with('\n')) write_output("\n");
}

std::string read_all_input(size_t max_bytes) {
  std::string text;
  for (;;) {
    const size_t size = text.size();
    text.resize(size + kBlockBytes);
    const ssize_t got = read(STDIN_FILENO, text.data() + size, kBlockBytes);
    if (got < 0 && errno != EINTR) fail(ErrorCode::kIo, "cannot read standard input: {}", std::strerror(errno));
    text.resize(size + static_cast<size_t>(std::max<ssize_t>(got, 0)));
    if (got == 0) return text;
    if (text.size() > max_bytes) fail(ErrorCode::kLimit, "standard input is longer than {} bytes", max_bytes);
  }
}

std::optional<std::string> LineReader::next() {
  for (size_t searched = at_;;) {
    const size_t end = buffer_.find('\n', searched);
    if (end != std::string::npos) {
      std::string line = buffer_.substr(at_, end - at_);
      at_ = end + 1;
      ++line_number_;
      return line;
    }
    searched = buffer_.size() - at_;
    buffer_.erase(0, at_);
    at_ = 0;
    if (!fill()) break;
  }
  if (buffer_.empty()) return std::nullopt;
  ++line_number_;
  return std::exchange(buffer_, {});  // the last line has no "\n"
}

bool LineReader::fill() {
  flush_output();
  const size_t size = buffer_.size();
  buffer_.resize(size + kBlockBytes);
  ssize_t got = 0;
  do {
    got = read(STDIN_FILENO, buffer_.data() + size, kBlockBytes);
  } while (got < 0 && errno == EINTR);
  buffer_.resize(size + static_cast<size_t>(std::max<ssize_t>(got, 0)));
  if (got < 0) fail(ErrorCode::kIo, "cannot read standard input: {}", std::strerror(errno));
  return got > 0;
}

ProgressBar::ProgressBar(std::string title, bool shown) : title_(std::move(title)), shown_(shown) {}

ProgressBar::~ProgressBar() {
  if (shown_ && last_percent_ >= 0) {
    write_diagnostics("\r\033[K");  // erases the line
  }
}

void ProgressBar::update(int64_t done_bytes, int64_t total_bytes) {
  update(done_bytes, total_bytes, "of " + human_bytes(total_bytes));
}

void ProgressBar::update(int64_t done, int64_t total, std::string_view note) {
  if (!shown_ || total <= 0) return;
  const auto percent = static_cast<int>(static_cast<double>(done) / static_cast<double>(total) * 100);
  if (percent == last_percent_) return;
  last_percent_ = percent;
  constexpr int kWidth = 30;
  const int filled = std::clamp(percent * kWidth / 100, 0, kWidth);
  tell("\r{} [{}{}] {:3}% {}\033[K", title_, std::string(static_cast<size_t>(filled), '#'),
       std::string(static_cast<size_t>(kWidth - filled), '.'), percent, note);
}

std::string human_count(int64_t count) { return human(count, {"", " K", " M", " B", " T"}); }
std::string human_bytes(int64_t bytes) { return human(bytes, {" B", " kB", " MB", " GB", " TB"}); }

}  // namespace glimmer::apps

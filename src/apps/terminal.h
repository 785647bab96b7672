// Standard input and output as the commands use them.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/log.h"
#include "base/printable_text.h"

namespace glimmer::apps {

// A text as tell() shows it; anything else as it is.
template <typename T>
auto shown(const T& value) {
  if constexpr (std::is_convertible_v<const T&, std::string_view>) {
    return printable_line(value);
  } else {
    return value;
  }
}
template <typename... Shown>
std::string format_shown(fmt::string_view format, const Shown&... values) {
  return fmt::vformat(format, fmt::make_format_args(values...));
}

// A line for the user, on standard error. That it may be closed or full must not end the work. Texts among the
// arguments may be anyone's: each is made a printable line of.
template <typename... Args>
void tell(fmt::format_string<Args...> format, Args&&... args) {
  write_diagnostics(format_shown(format, shown(args)...));
}

bool stdin_is_terminal();
bool stdout_is_terminal();
bool stderr_is_terminal();

// Writes results to standard output, buffered: to a pipe or file as they are, to a terminal as PrintableText, unless
// allow_raw_output() was called. Throws kIo when the system refuses (a full disk): nothing is lost in silence.
void write_output(std::string_view text);
void flush_output();
void end_output();  // at the end: with what PrintableText has kept back
void allow_raw_output();
// Of our own: colours and the like.
void write_terminal_code(std::string_view code);

// Text whose every byte counts: in a pipe as it is, on a terminal with a line end.
void write_exact_text(std::string_view text);

// All of standard input, as it is. Throws kIo, and kLimit beyond `max_bytes`.
std::string read_all_input(size_t max_bytes = size_t{1} << 30);

// Standard input line by line. Before it waits for more, it flushes standard output, so that a pipe in either direction
// sees each answer at once while a long file still goes in large blocks.
class LineReader {
 public:
  // The next line without its "\n"; nothing at the end of the input.
  std::optional<std::string> next();
  int64_t line_number() const { return line_number_; }  // of the line that next() gave, from 1

 private:
  bool fill();

  std::string buffer_;
  size_t at_ = 0;
  int64_t line_number_ = 0;
};

// A bar on standard error while something is loaded or measured: only on a terminal, and removed when done.
class ProgressBar {
 public:
  ProgressBar(std::string title, bool shown);
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;
  void update(int64_t done_bytes, int64_t total_bytes);
  void update(int64_t done, int64_t total, std::string_view note);  // of anything, with a note behind the percentage

 private:
  std::string title_;
  bool shown_;
  int last_percent_ = -1;
};

// "9.1 M", "106.9 B"; "24.3 MB", "13.1 GB" (powers of ten, as disks and the field's model names count).
std::string human_count(int64_t count);
std::string human_bytes(int64_t bytes);

}  // namespace glimmer::apps

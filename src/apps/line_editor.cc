#include "apps/line_editor.h"

#include <histedit.h>
#include <langinfo.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <cwchar>
#include <string_view>

#include "apps/interrupt.h"

namespace glimmer::apps {
namespace {

namespace fs = std::filesystem;

constexpr int kHistoryLines = 1000;

// libedit converts characters as the locale says. A bare "C" locale, as in containers, would break all but ASCII.
void ensure_utf8_locale() {
  std::setlocale(LC_CTYPE, "");
  if (std::string_view(nl_langinfo(CODESET)) != "UTF-8") std::setlocale(LC_CTYPE, "C.UTF-8");
}

// Waits until standard input has a byte and reads it: 1, 0 at the end, -1 on an error or Ctrl-C. libedit's own reader
// would read on after Ctrl-C.
int read_byte(char& byte) {
  for (;;) {
    std::array<pollfd, 2> inputs = {{{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0},
                                     {.fd = InterruptGuard::descriptor(), .events = POLLIN, .revents = 0}}};
    if (poll(inputs.data(), inputs.size(), -1) < 0) {
      if (errno == EINTR) continue;  // a signal; if it was Ctrl-C, the descriptor tells
      return -1;
    }
    if (inputs[1].revents != 0) return -1;
    const ssize_t got = read(STDIN_FILENO, &byte, 1);
    if (got >= 0 || errno != EINTR) return static_cast<int>(got);
  }
}

// libedit's EL_GETCFN: one character, of one or more bytes.
int read_character(EditLine*, wchar_t* character) {
  std::mbstate_t state = {};
  for (;;) {
    char byte = 0;
    const int got = read_byte(byte);
    if (got <= 0) return got;
    if (byte == '\0') byte = '\x04';  // Ctrl-D typed ahead, while the terminal still collected lines, arrives so
    const size_t size = std::mbrtowc(character, &byte, 1, &state);
    if (size == static_cast<size_t>(-2)) continue;  // the character goes on
    if (size == static_cast<size_t>(-1)) {          // not UTF-8: leave it out
      state = {};
      continue;
    }
    return 1;
  }
}

}  // namespace

fs::path state_file(const std::string& name) {
  const char* state = std::getenv("XDG_STATE_HOME");
  if (state != nullptr && *state == '/') return fs::path(state) / "glimmer" / name;
  const char* home = std::getenv("HOME");
  if (home != nullptr && *home != '\0') return fs::path(home) / ".local" / "state" / "glimmer" / name;
  return {};
}

struct LineEditor::Impl {
  std::string prompt;
  std::string history_file;
  EditLine* editor = nullptr;
  History* history = nullptr;

  static char* prompt_of(EditLine* editor) {
    void* self = nullptr;
    el_get(editor, EL_CLIENTDATA, &self);
    return static_cast<Impl*>(self)->prompt.data();
  }

  void open_history() {
    HistEvent event;
    history = history_init();
    ::history(history, &event, H_SETSIZE, kHistoryLines);
    ::history(history, &event, H_SETUNIQUE, 1);
    if (!history_file.empty()) ::history(history, &event, H_LOAD, history_file.c_str());
  }

  void remember(const std::string& line) {
    HistEvent event;
    ::history(history, &event, H_ENTER, line.c_str());
    if (!history_file.empty()) ::history(history, &event, H_SAVE, history_file.c_str());
  }
};

LineEditor::LineEditor(std::string prompt, fs::path history_file) : impl_(std::make_unique<Impl>()) {
  ensure_utf8_locale();
  std::error_code ignored;
  if (!history_file.empty()) fs::create_directories(history_file.parent_path(), ignored);
  impl_->prompt = std::move(prompt);
  impl_->history_file = history_file.string();
  impl_->open_history();
  impl_->editor = el_init("glimmer", stdin, stdout, stderr);
  el_set(impl_->editor, EL_CLIENTDATA, impl_.get());
  el_set(impl_->editor, EL_PROMPT, &Impl::prompt_of);
  el_set(impl_->editor, EL_EDITOR, "emacs");
  el_set(impl_->editor, EL_HIST, ::history, impl_->history);
  el_set(impl_->editor, EL_GETCFN, &read_character);
  el_source(impl_->editor, nullptr);  // ~/.editrc
}

LineEditor::~LineEditor() {
  el_end(impl_->editor);
  history_end(impl_->history);
}

LineStatus LineEditor::read(std::string& line) {
  std::fflush(stdout);
  const InterruptGuard interrupt;
  int count = 0;
  const char* text = el_gets(impl_->editor, &count);
  if (interrupt.interrupted()) {
    el_reset(impl_->editor);
    return LineStatus::kInterrupted;
  }
  if (text == nullptr || count <= 0) return LineStatus::kEnd;
  line.assign(text, static_cast<size_t>(count));
  while (line.ends_with('\n') || line.ends_with('\r')) line.pop_back();
  if (line.find_first_not_of(" \t") != std::string::npos) impl_->remember(line);
  return LineStatus::kLine;
}

}  // namespace glimmer::apps

// Reads lines from a terminal, with editing, history and Ctrl-C.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

namespace glimmer::apps {

enum class LineStatus { kLine, kInterrupted, kEnd };

// $XDG_STATE_HOME/glimmer/NAME, or ~/.local/state/glimmer/NAME; empty where neither variable is set.
std::filesystem::path state_file(const std::string& name);

// Standard input must be a terminal. One at a time.
class LineEditor {
 public:
  // The history is read from and kept in `history_file`; where that cannot be, it lives for the session only.
  LineEditor(std::string prompt, std::filesystem::path history_file);
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  // Waits for a line, gives it without its line end, and remembers it if it is not blank.
  LineStatus read(std::string& line);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace glimmer::apps

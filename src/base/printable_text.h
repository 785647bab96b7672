// Makes untrusted text (names, metadata, a model's answers) safe for a terminal: C0, DEL and C1 control characters
// could move its cursor, set its title and more, and bidirectional overrides make a line read as another. They are
// shown as \u and four hexadecimal digits, which JSON reads back; ill-formed UTF-8 as U+FFFD.
#pragma once

#include <string>
#include <string_view>

namespace glimmer {

// For a message: line ends become spaces, tabs stay.
std::string printable_line(std::string_view text);

// For text that comes piece by piece, wherever it is cut: line ends (LF, CR LF) and tabs stay.
class PrintableText {
 public:
  std::string add(std::string_view piece);
  // What was kept back: the beginning of a character, or a CR.
  std::string finish();

 private:
  std::string kept_;
};

}  // namespace glimmer

// The value of one argument of a tool call: the text that the model writes in, JSON out, typed as the tool declares it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "text/tool_schema.h"

namespace glimmer {

// How a chat template writes what is no string: GLM's as JSON (true, null), Qwen3-Coder's as Python does (True, None).
enum class LiteralStyle { kJson, kPython };

// `text` as a JSON string, in quotes; ill-formed UTF-8 becomes U+FFFD.
std::string json_string(std::string_view text);

// The JSON text of a value that is complete.
//   - A type of string alone: the text as it is, be it ever so much like a number. With an enum, the member that it is
//     but for white space around it.
//   - Else the JSON literal that it is, digits untouched, if the type allows that literal. True, False and None count
//     as literals where a string is not allowed, or the template writes them so. 3.0 is 3 where only integers are.
//   - Else, if a string is allowed, that string.
//   - Else nothing fits: nullopt.
std::optional<std::string> argument_json(std::string_view text, const ArgumentType& type, LiteralStyle style);

// The same, piece by piece: a string comes out while it goes in, as soon as it can be nothing else; other values at
// their end. Joined, the output of all calls does not depend on the pieces, and is argument_json's (or, where that has
// none, the text as a string). Pieces are whole characters.
class ArgumentValue {
 public:
  ArgumentValue(const ArgumentType& type, LiteralStyle style);

  std::string add(std::string_view piece);  // the JSON text that is certain now
  std::string end();                        // the rest
  bool fits() const { return fits_; }       // after end(): the type allows the value

  // For text that was cut off: what there is of it, but a string stays open. Then `closing()` is what it lacks.
  std::string cut();
  std::string closing() const { return streaming_ ? "\"" : ""; }

  // Whether what came so far is a whole value of a type that excludes strings.
  bool is_whole_literal() const;

 private:
  bool may_be_literal(std::string_view piece);

  const ArgumentType& type_;
  LiteralStyle style_;
  std::string held_;        // until it is known what it is
  bool streaming_ = false;  // it is a string, and its beginning is out
  bool fits_ = true;
  char first_ = '\0';  // not white space
  std::string word_;   // of a literal like true
};

}  // namespace glimmer

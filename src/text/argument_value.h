// Converts the value of one tool-call argument from the model's text to JSON, typed as the tool declares it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "text/loose_literal.h"
#include "text/tool_schema.h"

namespace glimmer {

// How a chat template writes what is no string: GLM's as JSON (true, null), Qwen3-Coder's as Python does (True, None).
enum class LiteralStyle { kJson, kPython };

// `text` as a JSON string, in quotes; ill-formed UTF-8 becomes U+FFFD.
std::string json_string(std::string_view text);

bool is_json_number(std::string_view text);

// The JSON text of a value that is complete.
//   - A type of string alone: the text as it is, be it ever so much like a number. With an enum, the member that it is
//     but for white space around it.
//   - Else the JSON literal that it is, digits untouched, if the type allows that literal. True, False and None count
//     as literals where a string is not allowed, or the template writes them so. 3.0 is 3 where only integers are.
//     Where a string is not allowed, arrays and objects need not be strict JSON (loose_literal.h, where escapes may be
//     undone first), and what stands in quotes is read without them.
//   - Else, if a string is allowed, that string.
//   - Else nothing fits: nullopt.
std::optional<std::string> argument_json(std::string_view text, const ArgumentType& type, LiteralStyle style);

// `json`, a JSON value that the model wrote as such, if the type allows it, else what the type makes of it: what stands
// in a string, or the text of a number where only strings are allowed. Nullopt where nothing fits.
std::optional<std::string> retyped_json(std::string_view json, const ArgumentType& type);

// The same as argument_json, piece by piece: a string comes out while it goes in, as soon as it can be nothing else;
// other values at their end. Joined, the output of all calls does not depend on the pieces, and is argument_json's (or,
// where that has none, the text as a string). Pieces are whole characters.
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
  bool is_whole_literal();
  int whole_reads() const { return whole_reads_; }  // how often that took reading all of it

 private:
  bool may_be_literal(std::string_view piece);

  const ArgumentType& type_;
  LiteralStyle style_;
  std::string held_;        // until it is known what it is
  bool streaming_ = false;  // it is a string, and its beginning is out
  bool fits_ = true;
  char first_ = '\0';  // not white space
  std::string word_;   // of a literal like true
  LiteralScan plain_{LiteralScan::Escapes::kInside};
  LiteralScan escaped_{LiteralScan::Escapes::kAround};
  bool has_angle_ = false;        // a '<', which no number and no word has
  std::optional<bool> is_whole_;  // known until more comes
  int whole_reads_ = 0;
};

}  // namespace glimmer

// Writes one tool call as deltas: begin, arguments as streamed JSON, end.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "text/argument_value.h"
#include "text/output_delta.h"
#include "text/tool_schema.h"

namespace glimmer {

class ToolCallWriter {
 public:
  // `tools` must outlive the writer, and `out` is where deltas go.
  ToolCallWriter(const ToolSchemas& tools, LiteralStyle style, int call, OutputDeltas& out);

  void begin(std::string_view name);

  // One argument. A name that was there before is malformed, as the first value is already out: the text becomes stray.
  void begin_value(std::string_view name);
  void value(std::string_view text);
  void end_value();
  bool value_is_whole_literal();
  // Such of a format that writes JSON itself: one that is a string, whose value() comes without quotes and escapes, and
  // one whose JSON text is known.
  void begin_string(std::string_view name);
  void json_value(std::string_view name, std::string_view json);

  // Text that belongs to no argument. It follows the call as content, each time after a diagnostic.
  void stray(std::string_view text, std::string_view reason);
  void diagnose(std::string_view reason);

  void end();  // ends a value that is open, too
  void cut();  // the output was cut off here: the arguments stay open, and the end says what they lack

  // Whether the tool declares `name` and it was not there yet: then it is a likely argument.
  bool expects(std::string_view name) const;
  // Whether some name that it expects begins so.
  bool expects_beginning(std::string_view name) const;
  // Declared parameters; none if the tool is not declared.
  const ToolSchema& schema() const { return *schema_; }

 private:
  bool begin_name(std::string_view name);
  void arguments(std::string text);
  void finish(std::string missing);

  const ToolSchemas& tools_;
  LiteralStyle style_;
  int call_;
  OutputDeltas& out_;
  const ToolSchema* schema_;
  std::set<std::string, std::less<>> names_;  // of the arguments so far
  std::optional<ArgumentValue> value_;
  bool repeated_ = false;  // the value is of a name that was there before
  std::string repeated_text_;
  OutputDeltas strays_;
};

}  // namespace glimmer

// Converts the content of a message to text for the model: one rule for all APIs, since clients mix their part types.
//
//   text, input_text, output_text, summary_text, refusal    text
//   thinking, reasoning, reasoning_text                     reasoning; redacted_thinking is left out
//   document with a text source, search_result              text
//   image, image_url, input_image, document, input_file, input_audio, video_url, ...
//                                                           a text that says what was left out, or a 400 (MediaPolicy)
//   any other                                               a 400, or such a text (UnknownParts)
#pragma once

#include <optional>
#include <string>

#include "serve/schema_common.h"

namespace glimmer::serve {

struct ContentText {
  std::string text;
  std::optional<std::string> reasoning;
};

enum class UnknownParts {
  kRefuse,
  kLeaveOut,  // of what tools gave: nobody can mend that, and it comes back in every later request
};

struct ContentRules {
  std::string_view separator = {};  // between the texts of parts, where they do not end a line already
  UnknownParts unknown = UnknownParts::kRefuse;
};

// `content` is a text or a list of parts; null is no text. Throws ApiError 400 that names the part.
ContentText read_content(const Json* content, const std::string& path, const ContentRules& rules,
                         SchemaContext& context);

// The same for one part.
ContentText read_content_part(const Json& part, const std::string& path, const ContentRules& rules,
                              SchemaContext& context);

// Whether parts of this type are text or reasoning.
bool is_text_part(std::string_view type);

// `text` with `more` behind it and `separator` between the two, but where one is empty or a line ends there.
void append_text(std::string& text, std::string_view more, std::string_view separator);

// Where something was that the model cannot read.
std::string left_out_note(std::string_view what);

}  // namespace glimmer::serve

// Server-sent events, as text. Source: WHATWG HTML, "Server-sent events".
#pragma once

#include <string>
#include <string_view>

namespace glimmer::serve {

inline constexpr std::string_view kEventStream = "text/event-stream";  // its encoding is always UTF-8
inline constexpr std::string_view kSseComment = ": \n\n";              // a heartbeat that clients do not see

// "event: NAME\ndata: DATA\n\n"; an empty name is left out. Each line of data gets its own "data: ".
void append_sse(std::string& out, std::string_view event, std::string_view data);

}  // namespace glimmer::serve

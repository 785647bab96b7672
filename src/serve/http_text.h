// Text formats of HTTP: status phrases, dates, targets, request ids. Sources: RFC 9110, 9112, 3986.
#pragma once

#include <cstdint>
#include <ctime>
#include <optional>
#include <string>
#include <string_view>

#include "serve/exchange.h"

namespace glimmer::serve {

std::string_view status_phrase(int status);
std::string http_date(std::time_t time);        // "Sun, 06 Nov 1994 08:49:37 GMT"
std::string lower_case(std::string_view text);  // of ASCII letters

// A request line's target: "/path?query", or with "http://host" before it, or "*". The path is percent-decoded; nothing
// for a target that is none of these, that decodes to bytes which are not UTF-8, or that holds control characters.
struct Target {
  std::string path;
  std::string query;
};
std::optional<Target> parse_target(std::string_view target);

// 1 to 128 letters, digits and -._:/+= : fit for a header and for a log line.
bool is_request_id(std::string_view text);
std::string new_request_id();  // "req_" and 24 random letters and digits

// A header's value with control characters, which would end it, as spaces.
std::string header_value(std::string_view text);

// The host of a Host header or an origin's authority without port and brackets, in lower case.
std::string host_without_port(std::string_view authority);

// The start of a response, to the empty line. `body_bytes`: -1 for a body whose end the connection's tells, -2 for
// chunks.
inline constexpr int64_t kUntilClose = -1;
inline constexpr int64_t kChunked = -2;
struct ResponseHead {
  int status = 200;
  std::string_view content_type;  // empty: none
  int64_t body_bytes = 0;
  std::string_view request_id;
  bool keep_alive = true;
};
std::string response_head(const ResponseHead& head, const HttpHeaders& headers);

}  // namespace glimmer::serve

// Errors in the form of each API.
#pragma once

#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include "serve/exchange.h"

namespace glimmer::serve {

enum class ErrorShape {
  kOpenAi,     // {"error": {"message", "type", "param", "code"}}
  kAnthropic,  // {"type": "error", "error": {"type", "message"}, "request_id"}
};

// An error answer: thrown by endpoints, or made from what they throw.
struct ApiError : std::runtime_error {
  ApiError(int status_code, const std::string& message) : std::runtime_error(message), status(status_code) {}
  int status;                        // 400 to 599
  std::string type;                  // empty: the one that goes with the status in the API's list
  std::optional<std::string> param;  // the field that is wrong (OpenAI only)
  std::optional<std::string> code;   // OpenAI only
  int retry_after_s = 0;             // for the header; 0: none
};

// Maps an exception to an answer: an ApiError as it is; Engine::Overloaded 429; an Error that is the request's fault
// (kUsage, kInvalid, kLimit, kUnsupported) 400, kNotFound 404; out of memory 503; anything else 500 without its
// message.
ApiError api_error_of(const std::exception_ptr& exception);

std::string error_type(ErrorShape shape, int status);
std::string error_body(ErrorShape shape, const ApiError& error, std::string_view request_id);

// Answers with the error and records it for the log. If a stream has begun, only records it.
void respond_error(Exchange& exchange, ErrorShape shape, const ApiError& error);

}  // namespace glimmer::serve

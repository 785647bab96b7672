#include "serve/api_error.h"

#include <new>

#include "base/error.h"
#include "base/json.h"
#include "engine/engine.h"

namespace glimmer::serve {
namespace {

ApiError out_of_memory() {
  ApiError error(503, "the server has no memory for this request");
  error.retry_after_s = 10;
  return error;
}

}  // namespace

ApiError api_error_of(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const ApiError& error) {
    return error;
  } catch (const Engine::Overloaded& error) {
    ApiError overloaded(429, error.what());
    overloaded.retry_after_s = 1;
    return overloaded;
  } catch (const Error& error) {
    switch (error.code()) {
      case ErrorCode::kUsage:
      case ErrorCode::kInvalid:
      case ErrorCode::kLimit:
      case ErrorCode::kUnsupported:
        return {400, error.what()};
      case ErrorCode::kNotFound:
        return {404, error.what()};
      case ErrorCode::kMemory:
        return out_of_memory();
      case ErrorCode::kPeer:
        return {503, error.what()};
      case ErrorCode::kIo:
      case ErrorCode::kCancelled:
        break;
    }
    return {500, "the server failed on this request"};
  } catch (const std::bad_alloc&) {
    return out_of_memory();
  } catch (...) {
    return {500, "the server failed on this request"};
  }
}

// Source: the APIs' own lists (OpenAI "Error codes", Anthropic "Errors"); for statuses not in them, the nearest.
std::string error_type(ErrorShape shape, int status) {
  const bool anthropic = shape == ErrorShape::kAnthropic;
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return anthropic ? "not_found_error" : "invalid_request_error";
    case 408:
      return anthropic ? "timeout_error" : "invalid_request_error";
    case 413:
      return anthropic ? "request_too_large" : "invalid_request_error";
    case 429:
      return "rate_limit_error";
    case 503:
    case 529:
      return anthropic ? "overloaded_error" : "service_unavailable_error";
    default:
      if (status < 500) return "invalid_request_error";
      return anthropic ? "api_error" : "server_error";
  }
}

std::string error_body(ErrorShape shape, const ApiError& error, std::string_view request_id) {
  const std::string type = error.type.empty() ? error_type(shape, error.status) : error.type;
  if (shape == ErrorShape::kAnthropic) {
    return dump_json({{"type", "error"},
                      {"error", {{"type", type}, {"message", error.what()}}},
                      {"request_id", std::string(request_id)}});
  }
  const auto or_null = [](const std::optional<std::string>& text) { return text ? Json(*text) : Json(); };
  return dump_json(
      {{"error",
        {{"message", error.what()}, {"type", type}, {"param", or_null(error.param)}, {"code", or_null(error.code)}}}});
}

void respond_error(Exchange& exchange, ErrorShape shape, const ApiError& error) {
  exchange.notes().error = error.what();
  HttpHeaders headers;
  if (error.retry_after_s > 0) headers.emplace_back("Retry-After", std::to_string(error.retry_after_s));
  exchange.respond(error.status, "application/json", error_body(shape, error, exchange.id()), std::move(headers));
}

}  // namespace glimmer::serve

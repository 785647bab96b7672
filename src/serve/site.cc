#include "serve/site.h"

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "serve/http_text.h"

namespace glimmer::serve {
namespace {

constexpr int kRetrySoonS = 5;  // Retry-After of a 503

HttpAnswer answer_of(const ApiError& error, ErrorShape shape, const std::string& request_id) {
  HttpAnswer answer{
      .status = error.status, .content_type = "application/json", .body = error_body(shape, error, request_id)};
  if (error.retry_after_s > 0) answer.headers.emplace_back("Retry-After", std::to_string(error.retry_after_s));
  if (error.status == 401) answer.headers.emplace_back("WWW-Authenticate", "Bearer");
  return answer;
}

ErrorShape shape_of(const HttpRequest& request) {
  return request.route != nullptr ? request.route->errors : error_shape_of(request.path);
}

void check_origin(const std::string& origin) {
  if (origin == "*" || origin == "null") return;
  const size_t scheme = origin.find("://");
  if (scheme == std::string::npos || scheme == 0 || origin.find_first_of(" ,*") != std::string::npos ||
      origin.find('/', scheme + 3) != std::string::npos) {
    fail(ErrorCode::kUsage, "--cors-origin {}: is no origin as browsers send it, like https://example.com, nor *",
         origin);
  }
}

}  // namespace

Site::Site(const SiteOptions& options, std::span<const Route> table, RequestLog& log)
    : keys_(options.api_keys),
      cors_origins_(options.cors_origins),
      local_host_(lower_case(options.local_host)),
      table_(table),
      log_(log),
      metrics_(table) {
  for (std::string& origin : cors_origins_) {
    origin = lower_case(origin);
    check_origin(origin);
  }
}

void Site::open(Service& service) { service_ = &service; }

TransportCounts Site::transport_counts() const {
  const HttpServer* http = http_;
  return http != nullptr ? http->counts() : TransportCounts{};
}

bool Site::is_allowed_origin(const std::string& origin) const {
  return std::any_of(cors_origins_.begin(), cors_origins_.end(),
                     [&](const std::string& allowed) { return allowed == "*" || allowed == lower_case(origin); });
}

std::optional<HttpAnswer> Site::refuse_stranger(const HttpRequest& head) {
  if (local_host_.empty()) return std::nullopt;
  if (const std::string* host = head.header("host")) {
    const std::string name = host_without_port(*host);
    if (name != "localhost" && name != "127.0.0.1" && name != "::1" && name != local_host_) {
      return refusal(
          403,
          "this server answers to the names of this machine only, and the request is for another host; give it an "
          "API key to reach it by other names",
          head);
    }
  }
  if (const std::string* origin = head.header("origin"); origin != nullptr && !is_allowed_origin(*origin)) {
    const std::string host = *head.header("host");
    if (lower_case(*origin) != "http://" + lower_case(host) && lower_case(*origin) != "https://" + lower_case(host)) {
      return refusal(403, "web pages of this origin may not ask; allow it with --cors-origin", head);
    }
  }
  return std::nullopt;
}

HttpAnswer Site::no_such_path(const HttpRequest& head) {
  const std::string near = near_path(table_, head.path);
  return refusal(404,
                 "there is no " + head.path + " here" +
                     (near.empty() ? "; /openapi.json lists all paths" : "; did you mean " + near + "?"),
                 head);
}

// Compressed bodies are refused: their unpacked size would have to be bounded too.
std::optional<HttpAnswer> Site::refuse_encoding(const HttpRequest& head) {
  for (const auto& [name, value] : head.headers) {
    if (name != "content-encoding" || value.empty() || lower_case(value) == "identity") continue;
    HttpAnswer answer = refusal(
        415, "bodies are taken as they are, without a Content-Encoding, and this one is " + header_value(value), head);
    answer.headers.emplace_back("Accept-Encoding", "identity");
    return answer;
  }
  return std::nullopt;
}

// A CORS preflight, or a plain OPTIONS request.
HttpAnswer Site::answer_options(const HttpRequest& head) {
  const RouteMatch found = find_route(table_, "OPTIONS", head.path);
  if (found.allowed.empty() && head.path != "*") return no_such_path(head);
  HttpAnswer answer{.status = 204};
  answer.headers.emplace_back("Allow", found.allowed.empty() ? "GET, HEAD, POST, OPTIONS" : found.allowed);
  const std::string* origin = head.header("origin");
  const std::string* method = head.header("access-control-request-method");
  if (origin == nullptr || method == nullptr || !is_allowed_origin(*origin)) return answer;
  answer.headers.emplace_back("Access-Control-Allow-Methods", found.allowed);
  if (const std::string* headers = head.header("access-control-request-headers")) {
    answer.headers.emplace_back("Access-Control-Allow-Headers", *headers);
  }
  if (head.header("access-control-request-private-network") != nullptr) {
    answer.headers.emplace_back("Access-Control-Allow-Private-Network", "true");
  }
  answer.headers.emplace_back("Access-Control-Max-Age", "600");
  return answer;
}

std::optional<HttpAnswer> Site::admit(HttpRequest& head) {
  if (std::optional<HttpAnswer> refused = refuse_stranger(head)) return refused;
  if (head.method == "OPTIONS") return answer_options(head);
  RouteMatch found = find_route(table_, head.method, head.path);
  if (found.route == nullptr) {
    if (found.allowed.empty()) return no_such_path(head);
    HttpAnswer answer = refusal(405, head.path + " takes " + found.allowed + ", not " + head.method, head);
    answer.headers.emplace_back("Allow", found.allowed);
    return answer;
  }
  head.route = found.route;
  head.parameter = std::move(found.parameter);
  if (!keys_.none()) {
    const std::optional<std::string> id = keys_.identify(head);
    if (!id && found.route->access == RouteAccess::kKey) {
      ApiError error(401, "an API key is needed, as 'Authorization: Bearer KEY' or 'x-api-key: KEY', and this is none");
      error.code = "invalid_api_key";
      return answer_of(error, shape_of(head), head.id);
    }
    head.key_id = id.value_or("");
  }
  if (found.route->method == "POST") {
    if (std::optional<HttpAnswer> refused = refuse_encoding(head)) return refused;
  }
  if (found.route->endpoint != nullptr && !ready()) {
    return refusal(503, draining_ ? "the server is shutting down" : "the model is being loaded", head);
  }
  return std::nullopt;
}

void Site::handle(std::shared_ptr<Exchange> exchange) {
  const Route& route = *exchange->request().route;
  if (route.own != nullptr) {
    route.own(*this, *exchange);
  } else {
    route.endpoint(*service_.load(), std::move(exchange));
  }
}

HttpAnswer Site::refusal(int status, const std::string& message, const HttpRequest& request) {
  ApiError error(status, message);
  if (status == 503) error.retry_after_s = kRetrySoonS;
  return answer_of(error, shape_of(request), request.id);
}

HttpAnswer Site::error_answer(const std::exception_ptr& exception, const HttpRequest& request, RequestNotes& notes) {
  const ApiError error = api_error_of(exception);
  notes.error = error.what();
  if (error.status >= 500) {  // the client is not told, the log is
    try {
      std::rethrow_exception(exception);
    } catch (const std::exception& cause) {
      notes.error = cause.what();
    } catch (...) {
    }
  }
  return answer_of(error, shape_of(request), request.id);
}

void Site::decorate(const HttpRequest& request, HttpHeaders& headers) {
  if (cors_origins_.empty()) return;
  headers.emplace_back("Vary", "Origin");
  const std::string* origin = request.header("origin");
  if (origin == nullptr || !is_allowed_origin(*origin)) return;
  headers.emplace_back("Access-Control-Allow-Origin", *origin);
  headers.emplace_back("Access-Control-Expose-Headers", "X-Request-Id, Retry-After");
}

void Site::done(const RequestRecord& record) {
  try {
    metrics_.count(record);
    log_.write(record);
  } catch (const std::exception& error) {
    log_warning("a request could not be logged: {}", error.what());
  } catch (...) {
    log_warning("a request could not be logged");
  }
}

}  // namespace glimmer::serve

#include "serve/http_text.h"

#include <openssl/rand.h>

#include <array>

#include "base/error.h"
#include "base/utf8.h"

namespace glimmer::serve {
namespace {

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<std::string> percent_decode(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
    if (high < 0 || low < 0) return std::nullopt;
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return out;
}

// "http://host/path" to "/path": the form that proxies use.
std::string_view without_origin(std::string_view target) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (lower_case(target.substr(0, scheme.size())) != scheme) continue;
    const size_t slash = target.find_first_of("/?", scheme.size());
    return slash == std::string_view::npos ? "/" : target.substr(slash);
  }
  return target;
}

}  // namespace

void HttpRequest::drop_body(int64_t kept_bytes) {
  std::string().swap(body);
  buffered.set(kept_bytes);
}

const std::string* HttpRequest::header(std::string_view lower_case_name) const {
  for (const auto& [name, value] : headers) {
    if (name == lower_case_name) return &value;
  }
  return nullptr;
}

std::string_view status_phrase(int status) {
  switch (status) {
    case 100:
      return "Continue";
    case 200:
      return "OK";
    case 204:
      return "No Content";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 421:
      return "Misdirected Request";
    case 422:
      return "Unprocessable Content";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return status < 400 ? "OK" : "Error";
  }
}

std::string http_date(std::time_t time) {
  constexpr std::array<const char*, 7> kDays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr std::array<const char*, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  std::tm t = {};
  gmtime_r(&time, &t);
  return fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT", kDays[static_cast<size_t>(t.tm_wday)], t.tm_mday,
                     kMonths[static_cast<size_t>(t.tm_mon)], t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
}

std::string lower_case(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

std::optional<Target> parse_target(std::string_view target) {
  if (target == "*") return Target{"*", ""};
  target = without_origin(target);
  const size_t question = std::min(target.find('?'), target.size());
  std::optional<std::string> path = percent_decode(target.substr(0, question));
  if (!path || !is_valid_utf8(*path)) return std::nullopt;
  if (path->empty()) path = "/";
  if (path->front() != '/') return std::nullopt;
  for (const char c : *path) {
    if (is_control(c)) return std::nullopt;
  }
  return Target{std::move(*path), std::string(question < target.size() ? target.substr(question + 1) : "")};
}

bool is_request_id(std::string_view text) {
  constexpr std::string_view kOthers = "-._:/+=";
  for (const char c : text) {
    const bool fine =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || kOthers.find(c) != kOthers.npos;
    if (!fine) return false;
  }
  return !text.empty() && text.size() <= 128;
}

std::string new_request_id() {
  constexpr std::string_view kLetters = "0123456789abcdefghjkmnpqrstvwxyz";  // 5 bits each
  static_assert(kLetters.size() == 32);
  std::array<unsigned char, 24> bytes;
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) {
    fail(ErrorCode::kIo, "the system gives no random bytes");
  }
  std::string id = "req_";
  for (const unsigned char byte : bytes) id += kLetters[byte % 32];
  return id;
}

std::string header_value(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (is_control(c)) c = ' ';
  }
  return out;
}

std::string host_without_port(std::string_view authority) {
  if (authority.starts_with('[')) {
    const size_t end = std::min(authority.find(']'), authority.size());
    return lower_case(authority.substr(1, end - 1));
  }
  return lower_case(authority.substr(0, authority.find(':')));
}

std::string response_head(const ResponseHead& head, const HttpHeaders& headers) {
  std::string out = fmt::format("HTTP/1.1 {} {}\r\nServer: glimmer\r\nDate: {}\r\n", head.status,
                                status_phrase(head.status), http_date(std::time(nullptr)));
  const auto add = [&](std::string_view name, std::string_view value) {
    out.append(name).append(": ").append(header_value(value)).append("\r\n");
  };
  if (!head.request_id.empty()) {
    add("X-Request-Id", head.request_id);
    add("Request-Id", head.request_id);  // as Anthropic has it
  }
  if (!head.content_type.empty()) {
    add("Content-Type", head.content_type);
    add("X-Content-Type-Options", "nosniff");
  }
  for (const auto& [name, value] : headers) add(name, value);
  if (head.body_bytes == kChunked) {
    add("Transfer-Encoding", "chunked");
  } else if (head.body_bytes >= 0 && head.status != 204) {
    add("Content-Length", std::to_string(head.body_bytes));
  }
  if (!head.keep_alive) add("Connection", "close");
  out += "\r\n";
  return out;
}

}  // namespace glimmer::serve

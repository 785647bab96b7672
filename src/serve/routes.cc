#include "serve/routes.h"

#include <array>

#include "serve/system_endpoints.h"

namespace glimmer {
namespace {

const std::array kRoutes = {
    Route{.method = "GET",
          .path = "/health",
          .summary = "Whether the process lives",
          .own = answer_health,
          .access = Access::kOpen},
    Route{.method = "GET",
          .path = "/ready",
          .summary = "Whether the model is loaded and the server takes requests",
          .own = answer_ready,
          .access = Access::kOpen},
    Route{.method = "GET", .path = "/metrics", .summary = "Counts and times, for Prometheus", .own = answer_metrics},
    Route{.method = "GET", .path = "/openapi.json", .summary = "This description", .own = answer_openapi},
};

// What stands in `path` where `pattern` has {name}; nothing if the two do not match.
std::optional<std::string> match(std::string_view pattern, std::string_view path) {
  const size_t brace = pattern.find('{');
  if (brace == std::string_view::npos) return path == pattern ? std::optional<std::string>("") : std::nullopt;
  if (!path.starts_with(pattern.substr(0, brace)) || path.size() == brace) return std::nullopt;
  return std::string(path.substr(brace));
}

}  // namespace

std::span<const Route> routes() { return kRoutes; }

RouteMatch find_route(std::span<const Route> table, std::string_view method, std::string_view path) {
  RouteMatch found;
  for (const Route& route : table) {
    std::optional<std::string> parameter = match(route.path, path);
    if (!parameter) continue;
    if (route.method == method) return {.route = &route, .parameter = std::move(*parameter)};
    found.allowed.append(found.allowed.empty() ? "" : ", ").append(route.method);
    if (route.method == "GET") found.allowed += ", HEAD";
  }
  if (!found.allowed.empty()) found.allowed += ", OPTIONS";
  return found;
}

ErrorShape error_shape_of(std::string_view path) {
  constexpr std::string_view kMessages = "/v1/messages";
  const bool anthropic =
      path.starts_with(kMessages) && (path.size() == kMessages.size() || path[kMessages.size()] == '/');
  return anthropic ? ErrorShape::kAnthropic : ErrorShape::kOpenAi;
}

}  // namespace glimmer

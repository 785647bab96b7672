// Which endpoint answers which path. An endpoint costs a function in a file of its own and one row in routes.cc.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/json.h"
#include "serve/api_error.h"
#include "serve/exchange.h"

namespace glimmer::serve {

class Site;

enum class RouteAccess {
  kKey,   // needs an API key, where the server has any
  kOpen,  // for probes: no key
};

struct Route {
  std::string_view method;  // GET answers HEAD too
  std::string_view path;  // a last part "{name}" stands for the rest of the path, slashes and all; at least a character
  std::string_view summary;                               // for /openapi.json
  Endpoint endpoint = nullptr;                            // needs the model: 503 until it is loaded, and while draining
  void (*own)(Site& site, Exchange& exchange) = nullptr;  // in place of it: answers at any time
  ErrorShape errors = ErrorShape::kOpenAi;
  RouteAccess access = RouteAccess::kKey;
  Json (*request_schema)() = nullptr;   // of the body
  Json (*response_schema)() = nullptr;  // of status 200
};

std::span<const Route> routes();

// The route for method and path, and the text matched by {name}. Clients append paths to base URLs with or without
// "/v1" or a trailing slash, so doubled or trailing slashes and a missing, doubled or superfluous "/v1" are tolerated.
struct RouteMatch {
  const Route* route = nullptr;  // null: no such path, or not this method
  std::string parameter;
  std::string allowed;  // methods of that path, as Allow has them; empty: no such path
};
RouteMatch find_route(std::span<const Route> table, std::string_view method, std::string_view path);

// For an unknown path, the nearest known one; empty if none is near.
std::string near_path(std::span<const Route> table, std::string_view path);

// The shape of errors of a path, whether it exists or not.
ErrorShape error_shape_of(std::string_view path);

}  // namespace glimmer::serve

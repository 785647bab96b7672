// Which endpoint answers which path. An endpoint costs a function in a file of its own and one row in routes.cc.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/json.h"
#include "serve/api_error.h"
#include "serve/exchange.h"

namespace glimmer {

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

// The route for method and path, and what stands in the place of {name}. Clients make paths of a base URL, with or
// without
// "/v1" and a slash at its end: slashes that are doubled or at the end, and a "/v1" that is missing, doubled or too
// much do not matter.
struct RouteMatch {
  const Route* route = nullptr;  // null: no such path, or not this method
  std::string parameter;
  std::string allowed;  // methods of that path, as Allow has them; empty: no such path
};
RouteMatch find_route(std::span<const Route> table, std::string_view method, std::string_view path);

// Of a path that does not exist, the one that was probably meant; empty if none is near.
std::string near_path(std::span<const Route> table, std::string_view path);

// The shape of errors of a path, whether it exists or not.
ErrorShape error_shape_of(std::string_view path);

}  // namespace glimmer

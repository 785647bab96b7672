// Which endpoint answers which path. An endpoint costs a function in a file of its own and one row in routes.cc.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/json.h"
#include "serve/api_error.h"
#include "serve/exchange.h"

namespace glimmer {

enum class Access {
  kKey,   // needs an API key, where the server has any
  kOpen,  // for probes: no key, and answered while the model is being loaded and while the server drains
};

struct Route {
  std::string_view method;  // GET answers HEAD too
  std::string_view path;    // a last part "{name}" stands for the rest of the path, slashes and all
  Endpoint endpoint = nullptr;
  ErrorShape errors = ErrorShape::kOpenAi;
  Access access = Access::kKey;
  std::string_view summary;             // for /openapi.json
  Json (*request_schema)() = nullptr;   // of the body
  Json (*response_schema)() = nullptr;  // of status 200
};

std::span<const Route> routes();

}  // namespace glimmer

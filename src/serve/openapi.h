// The OpenAPI 3.1 description of all routes, generated from their table.
#pragma once

#include <span>

#include "base/json.h"
#include "serve/routes.h"

namespace glimmer::serve {

Json openapi(std::span<const Route> table, bool needs_key);

}  // namespace glimmer::serve

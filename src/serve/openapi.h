// The description of all routes, OpenAPI 3.1, made from their table.
#pragma once

#include <span>

#include "base/json.h"
#include "serve/routes.h"

namespace glimmer {

Json openapi(std::span<const Route> table, bool needs_key);

}  // namespace glimmer

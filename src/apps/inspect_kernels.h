// The kernels that this machine runs, and why, for `inspect --kernels`.
#pragma once

#include <string>

#include "base/json.h"

namespace glimmer::apps {

// `backend` as --backend gives it: a table's name, or empty for the fastest. Throws as kernels::table_by_name.
std::string kernels_text(const std::string& backend);
Json kernels_json(const std::string& backend);

}  // namespace glimmer::apps

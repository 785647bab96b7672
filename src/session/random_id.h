// Seeds and names that nobody can guess.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace glimmer {

// For answers whose request gives no seed.
uint64_t random_seed();

// "chatcmpl-" and the like, with 24 random characters behind it.
std::string random_id(std::string_view prefix);

}  // namespace glimmer

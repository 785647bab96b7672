// Makes text from a file or a request safe for a one-line message.
#pragma once

#include <string>
#include <string_view>

namespace glimmer {

// A name out of a file, as a message may print it: in double quotes, one line, control characters escaped, ill-formed
// UTF-8 replaced, shortened in the middle when very long.
std::string quoted_name(std::string_view name);

}  // namespace glimmer

#include "text/jinja/search.h"

#include <algorithm>
#include <cstring>

#include "text/jinja/budget.h"

namespace glimmer::jinja {

size_t find_text(std::string_view text, std::string_view needle, size_t from) {
  if (from > text.size()) return text.npos;
  if (needle.empty()) return from;
  const void* found = memmem(text.data() + from, text.size() - from, needle.data(), needle.size());
  const size_t at = found == nullptr ? text.npos : static_cast<size_t>(static_cast<const char*>(found) - text.data());
  charge_work(std::min(at, text.size()) - from);
  return at;
}

size_t rfind_text(std::string_view text, std::string_view needle, size_t end) {
  text = text.substr(0, std::min(end, text.size()));
  if (needle.size() > text.size()) return text.npos;
  for (size_t at = text.size() - needle.size();; --at) {
    if (text.compare(at, needle.size(), needle) == 0) return at;
    charge_work(needle.size());
    if (at == 0) return text.npos;
  }
}

}  // namespace glimmer::jinja

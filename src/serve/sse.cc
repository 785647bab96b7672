#include "serve/sse.h"

#include <algorithm>

namespace glimmer::serve {

void append_sse(std::string& out, std::string_view event, std::string_view data) {
  if (!event.empty()) out.append("event: ").append(event).append("\n");
  for (size_t begin = 0; begin <= data.size();) {
    const size_t end = std::min(data.find_first_of("\r\n", begin), data.size());
    out.append("data: ").append(data.substr(begin, end - begin)).append("\n");
    begin = end + (data.substr(end, 2) == "\r\n" ? 2 : 1);
  }
  out += "\n";
}

}  // namespace glimmer::serve

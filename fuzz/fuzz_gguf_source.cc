// Any bytes as a GGUF model: either refused with an Error of one line, or every tensor can be decoded and every side
// file made or refused.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "base/utf8.h"
#include "source/gguf_source.h"

namespace {

void check_line(const glimmer::Error& error) {
  const std::string_view message = error.what();
  GLIMMER_CHECK(message.find('\n') == std::string_view::npos && glimmer::is_valid_utf8(message), "{}", message);
}

void check_source(const glimmer::GgufSource& source) {
  for (const glimmer::SourceTensor& tensor : source.tensors()) {
    const auto count = tensor.shape.element_count();
    GLIMMER_CHECK(count == tensor.data.rows * tensor.data.columns, "{}", tensor.name);
    std::vector<float> values(static_cast<size_t>(tensor.data.columns));
    decode_rows(tensor.data, 0, 1, values.data());  // the sanitizer sees bad spans
    decode_rows(tensor.data, tensor.data.rows - 1, tensor.data.rows, values.data());
  }
  for (const std::string& name : source.side_files()) {
    try {
      GLIMMER_CHECK(source.side_file(name).has_value(), "{}", name);
    } catch (const glimmer::Error& error) {
      check_line(error);
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const int file = ::memfd_create("fuzz.gguf", 0);
  GLIMMER_CHECK(file >= 0 && ::ftruncate(file, 0) == 0, "memfd");
  GLIMMER_CHECK(::pwrite(file, data, size, 0) == static_cast<ssize_t>(size), "pwrite");
  static const std::string path = "/proc/self/fd/" + std::to_string(file);
  try {
    check_source(glimmer::GgufSource(path));
  } catch (const glimmer::Error& error) {
    check_line(error);
  }
  return 0;
}

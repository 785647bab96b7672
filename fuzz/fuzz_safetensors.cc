// Any bytes as a safetensors file: either refused with an Error of one line, or every promise of the reader holds.
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "base/utf8.h"
#include "format/safetensors.h"

namespace {

void check_content(const glimmer::SafetensorsContent& content, size_t file_bytes) {
  size_t data_bytes = 0;
  const glimmer::TensorInfo* before = nullptr;
  unsigned sum = 0;
  for (const glimmer::TensorInfo& tensor : content.tensors) {
    GLIMMER_CHECK(glimmer::is_valid_utf8(tensor.name), "name");
    GLIMMER_CHECK(before == nullptr || before->name < tensor.name, "names ascend");
    GLIMMER_CHECK(static_cast<size_t>(tensor.shape.element_count()) * glimmer::dtype_size_bytes(tensor.dtype) ==
                      tensor.data.size(),
                  "shape {} and {} bytes", tensor.shape.to_string(), tensor.data.size());
    for (const std::byte byte : tensor.data) sum += std::to_integer<unsigned>(byte);  // the sanitizer sees bad spans
    data_bytes += tensor.data.size();
    before = &tensor;
  }
  GLIMMER_CHECK(data_bytes < file_bytes && sum <= 255 * data_bytes, "{} bytes of data in {}", data_bytes, file_bytes);
}

void parse(std::span<const std::byte> file) {
  try {
    check_content(glimmer::parse_safetensors(file, "fuzz"), file.size());
  } catch (const glimmer::Error& error) {
    const std::string_view message = error.what();
    GLIMMER_CHECK(message.find('\n') == std::string_view::npos && glimmer::is_valid_utf8(message), "{}", message);
  }
}

// The same file with the header length that its last brace asks for: mutations seldom keep the two in step.
std::vector<std::byte> with_fitting_length(std::span<const std::byte> file) {
  std::vector<std::byte> out(file.begin(), file.end());
  size_t end = out.size();
  while (end > 8 && out[end - 1] != std::byte{'}'}) --end;
  for (size_t i = 0; i < 8; ++i) out[i] = static_cast<std::byte>((end - 8) >> (8 * i));
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  parse(bytes);
  if (size > 8) parse(with_fitting_length(bytes));
  return 0;
}

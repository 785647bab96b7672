// Any bytes as a GGUF file: either refused with an Error of one line, or every promise of the reader holds.
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "base/utf8.h"
#include "format/gguf.h"

namespace {

void check_metadata(const glimmer::GgufMetadata& metadata) {
  for (const auto& entry : metadata.entries()) {
    GLIMMER_CHECK(metadata.find(entry.key) == &entry.value, "key");
    size_t sum = entry.value.describe().size();
    for (const std::byte byte : entry.value.bytes) sum += std::to_integer<size_t>(byte);
    for (const std::string_view text : entry.value.strings) {
      for (const char c : text) sum += static_cast<unsigned char>(c);
    }
    GLIMMER_CHECK(sum > 0, "describe");
    // Of these only one can fit; each of the others is an Error of one line.
    const auto attempt = [&](auto&& read) {
      try {
        read();
      } catch (const glimmer::Error& error) {
        GLIMMER_CHECK(std::string_view(error.what()).find('\n') == std::string_view::npos, "{}", error.what());
      }
    };
    attempt([&] { metadata.integer(entry.key); });
    attempt([&] { metadata.number(entry.key); });
    attempt([&] { metadata.boolean(entry.key); });
    attempt([&] { metadata.text(entry.key); });
    attempt([&] { metadata.texts(entry.key); });
    attempt([&] { metadata.integers(entry.key); });
    attempt([&] { metadata.numbers(entry.key); });
    attempt([&] { metadata.booleans(entry.key); });
  }
}

void check_content(const glimmer::GgufContent& content, size_t file_bytes) {
  check_metadata(content.metadata);
  size_t data_bytes = 0;
  const glimmer::TensorInfo* before = nullptr;
  unsigned sum = 0;
  for (const glimmer::TensorInfo& tensor : content.tensors) {
    GLIMMER_CHECK(glimmer::is_valid_utf8(tensor.name), "name");
    GLIMMER_CHECK(before == nullptr || before->name < tensor.name, "names ascend");
    GLIMMER_CHECK(glimmer::dtype_bytes(tensor.dtype, tensor.shape.element_count()) == tensor.data.size(),
                  "shape {} and {} bytes", tensor.shape.to_string(), tensor.data.size());
    for (const std::byte byte : tensor.data) sum += std::to_integer<unsigned>(byte);  // the sanitizer sees bad spans
    data_bytes += tensor.data.size();
    before = &tensor;
  }
  GLIMMER_CHECK(data_bytes < file_bytes && sum <= 255 * data_bytes, "{} bytes of data in {}", data_bytes, file_bytes);
}

void parse(std::span<const std::byte> file) {
  try {
    check_content(glimmer::parse_gguf(file, "fuzz"), file.size());
  } catch (const glimmer::Error& error) {
    const std::string_view message = error.what();
    GLIMMER_CHECK(message.find('\n') == std::string_view::npos && glimmer::is_valid_utf8(message), "{}", message);
  }
}

// The same file with as many bytes of data as one may need: mutations seldom keep them in step.
std::vector<std::byte> with_more_data(std::span<const std::byte> file) {
  std::vector<std::byte> out(file.begin(), file.end());
  out.resize(out.size() + 64);
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  parse(bytes);
  parse(with_more_data(bytes));
  return 0;
}

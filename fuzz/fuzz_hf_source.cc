// A folder of safetensors, plain or packed as MLX, bitsandbytes, AWQ, GPTQ and compressed-tensors do: either refused
// with an Error of one line, or the first and last row of every matrix can be decoded. The input is config.json, a zero
// byte, the header of model.safetensors, a zero byte, and its data, which is repeated to the length that the header
// asks for.
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "base/utf8.h"
#include "source/model_source.h"

namespace {

namespace fs = std::filesystem;

// The largest number of the header that data may be as long as.
size_t data_bytes(std::string_view header) {
  constexpr size_t kMost = size_t{1} << 18;
  size_t largest = 0;
  size_t number = 0;
  for (const char c : header) {
    number = c >= '0' && c <= '9' && number <= kMost ? number * 10 + static_cast<size_t>(c - '0') : 0;
    if (number <= kMost) largest = std::max(largest, number);
  }
  return largest;
}

std::string safetensors(std::string_view header, std::string_view data) {
  std::string file;
  for (int i = 0; i < 8; ++i) file += static_cast<char>(header.size() >> (8 * i));
  file += header;
  const size_t bytes = data_bytes(header);
  for (size_t i = 0; i < bytes; ++i) file += data.empty() ? '\0' : data[i % data.size()];
  return file;
}

void check_source(const glimmer::ModelSource& source) {
  for (const glimmer::SourceTensor& tensor : source.tensors()) {
    const glimmer::EncodedMatrix& matrix = tensor.data;
    if (matrix.type == nullptr || tensor.shape.element_count() == 0) continue;
    GLIMMER_CHECK(tensor.shape.element_count() == matrix.rows * matrix.columns, "{}", tensor.name);
    std::vector<float> values(static_cast<size_t>(matrix.columns));
    decode_rows(matrix, 0, 1, values.data());  // the sanitizer sees bad spans
    decode_rows(matrix, matrix.rows - 1, matrix.rows, values.data());
  }
}

const fs::path& folder() {
  static const fs::path path = [] {
    const fs::path memory = "/dev/shm";
    const fs::path made =
        (fs::exists(memory) ? memory : fs::temp_directory_path()) / ("glimmer_fuzz_" + std::to_string(::getpid()));
    fs::create_directories(made);
    return made;
  }();
  return path;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t first = std::min(input.find('\0'), size);
  const size_t second = std::min(input.find('\0', std::min(first + 1, size)), size);
  const std::string_view header = first < size ? input.substr(first + 1, second - first - 1) : std::string_view();
  std::ofstream(folder() / "config.json", std::ios::binary) << input.substr(0, first);
  std::ofstream(folder() / "model.safetensors", std::ios::binary)
      << safetensors(header, second < size ? input.substr(second + 1) : std::string_view());
  try {
    check_source(*glimmer::ModelSource::open(folder()));
  } catch (const glimmer::Error& error) {
    const std::string_view message = error.what();
    GLIMMER_CHECK(message.find('\n') == std::string_view::npos && glimmer::is_valid_utf8(message), "{}", message);
  }
  return 0;
}

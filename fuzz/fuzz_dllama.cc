// Any bytes as a Distributed Llama model or tokenizer: either refused with an Error of one line, or every promise of
// the readers holds, and what is made of them (config.json, tokenizer.json) is JSON.
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "base/json.h"
#include "base/utf8.h"
#include "format/dllama.h"
#include "source/dllama_config.h"
#include "source/dllama_tokenizer_json.h"

namespace {

constexpr size_t kMaxPaddedBytes = 1 << 20;

template <typename F>
bool attempt(F&& read) {
  try {
    read();
    return true;
  } catch (const glimmer::Error& error) {
    const std::string_view message = error.what();
    GLIMMER_CHECK(message.find('\n') == std::string_view::npos && glimmer::is_valid_utf8(message), "{}", message);
  }
  return false;
}

void check_content(const glimmer::DllamaContent& content, size_t file_bytes) {
  size_t bytes = static_cast<size_t>(content.header.header_bytes);
  unsigned sum = 0;
  for (const glimmer::TensorInfo& tensor : content.tensors) {
    GLIMMER_CHECK(glimmer::dtype_bytes(tensor.dtype, tensor.shape.element_count()) == tensor.data.size(),
                  "shape {} and {} bytes", tensor.shape.to_string(), tensor.data.size());
    for (const std::byte byte : tensor.data) sum += std::to_integer<unsigned>(byte);  // the sanitizer sees bad spans
    bytes += tensor.data.size();
  }
  GLIMMER_CHECK(bytes == file_bytes && sum <= 255 * bytes, "{} bytes of {}", bytes, file_bytes);
}

void parse_model(std::span<const std::byte> file) {
  attempt([&] { check_content(glimmer::parse_dllama(file, "fuzz"), file.size()); });
  glimmer::DllamaHeader header;
  if (!attempt([&] { header = glimmer::parse_dllama_header(file, "fuzz"); })) return;
  // Written and read again it is the same.
  const auto encoded = glimmer::encode_dllama_header(header);
  GLIMMER_CHECK(encoded == glimmer::encode_dllama_header(glimmer::parse_dllama_header(encoded, "again")), "header");
  attempt([&] {
    glimmer::parse_json(glimmer::dllama_config_json(header, {.eos = header.eos_token_ids}, "fuzz"), "config.json");
  });
  // With the data that the header asks for, if that is little.
  size_t bytes = static_cast<size_t>(header.header_bytes);
  const auto add = [&](const glimmer::DllamaTensor& tensor) {
    const auto block = glimmer::dtype_block(tensor.dtype);
    bytes += static_cast<size_t>(tensor.shape.element_count() / block.values * block.bytes);
    return bytes <= kMaxPaddedBytes;
  };
  glimmer::for_each_dllama_tensor(header, add);
  if (bytes > kMaxPaddedBytes) return;
  std::vector<std::byte> padded(file.begin(), file.end());
  padded.resize(bytes);
  attempt([&] { check_content(glimmer::parse_dllama(padded, "fuzz"), padded.size()); });
}

void parse_tokenizer(std::span<const std::byte> file) {
  glimmer::DllamaTokenizer tokenizer;
  if (!attempt([&] { tokenizer = glimmer::parse_dllama_tokenizer(file, "fuzz"); })) return;
  const auto encoded = glimmer::encode_dllama_tokenizer(tokenizer);
  GLIMMER_CHECK(encoded == glimmer::encode_dllama_tokenizer(glimmer::parse_dllama_tokenizer(encoded, "again")), "file");
  attempt([&] { glimmer::bos_token_id_of(tokenizer, "fuzz"); });
  attempt([&] {
    if (const auto text = glimmer::tokenizer_config_json_of(tokenizer, "fuzz")) glimmer::parse_json(*text, "config");
  });
  attempt([&] { glimmer::generation_config_json_of(tokenizer, "fuzz"); });
  std::string json;
  if (!attempt([&] { json = glimmer::tokenizer_json_of(tokenizer, "fuzz"); })) return;
  attempt([&] { glimmer::dllama_tokenizer_of({.tokenizer_json = json, .source = "fuzz"}); });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  parse_model(bytes);
  parse_tokenizer(bytes);
  return 0;
}

// Any bytes as a page file of --kv-dir: either refused for a reason, or the page is the file's end and the digest
// right.
#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "base/check.h"
#include "engine/kv_page_file.h"

namespace {

constexpr std::array<int32_t, 8> kTokens = {1, 2, 3, 5, 8, 13, -21, 151'551};
constexpr int64_t kPageBytes = 96;
constexpr glimmer::KvKey kKey = {0x0123456789ABCDEF, 0xFEDCBA9876543210};

glimmer::KeyedHash& keyed_hash() {
  static glimmer::KeyedHash hash(glimmer::KeyedHash::Key{std::byte{7}});
  return hash;
}

bool check(std::span<const std::byte> file) {
  const glimmer::KvPageFound found = glimmer::find_kv_page(file, {kKey, kTokens, kPageBytes}, keyed_hash());
  GLIMMER_CHECK(found.page.empty() != found.fault.empty(), "{} bytes, '{}'", found.page.size(), found.fault);
  if (found.page.empty()) return false;
  GLIMMER_CHECK(found.page.size() == kPageBytes && found.page.data() + kPageBytes == file.data() + file.size(), "page");
  const glimmer::KvPageHeader right = glimmer::kv_page_header({kKey, kTokens, found.page}, keyed_hash());
  GLIMMER_CHECK(std::memcmp(&right, file.data(), sizeof right) == 0, "header");
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  check(bytes);
  // The same as one who has the key would write it: what lies behind the digest is reached.
  glimmer::KvPageHeader header;
  if (size < sizeof header) return 0;
  std::vector<std::byte> file(bytes.begin(), bytes.end());
  std::memcpy(&header, file.data(), sizeof header);
  const auto rest = std::span(file).subspan(sizeof header);
  header.digest = keyed_hash().of({std::as_bytes(std::span(&header, 1)).first(offsetof(glimmer::KvPageHeader, digest)),
                                   std::span<const std::byte>(rest)});
  std::memcpy(file.data(), &header, sizeof header);
  const bool is_right = check(file);
  // And one bit of it turned.
  const size_t at = size % file.size();
  file[at] ^= std::byte{16};
  GLIMMER_CHECK(!is_right || !check(file), "a bit at {} makes no difference", at);
  return 0;
}

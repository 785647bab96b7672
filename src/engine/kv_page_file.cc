#include "engine/kv_page_file.h"

#include <cstring>

namespace glimmer {
namespace {

KeyedHash::Digest digest_of(const KvPageHeader& header, std::span<const std::byte> rest, KeyedHash& hash) {
  const auto fields = std::as_bytes(std::span(&header, 1)).first(offsetof(KvPageHeader, digest));
  return hash.of({fields, rest});
}

// Constant-time comparison.
bool equal(const KeyedHash::Digest& a, const KeyedHash::Digest& b) {
  std::byte difference{};
  for (size_t i = 0; i < a.size(); ++i) difference |= a[i] ^ b[i];
  return difference == std::byte{};
}

}  // namespace

int64_t kv_page_file_bytes(int64_t tokens, int64_t page_bytes) {
  return static_cast<int64_t>(sizeof(KvPageHeader)) + tokens * static_cast<int64_t>(sizeof(int32_t)) + page_bytes;
}

KvPageHeader kv_page_header(const KvPageContent& content, KeyedHash& hash) {
  KvPageHeader header;
  header.key = content.key;
  header.tokens = content.tokens.size();
  header.page_bytes = content.page.size();
  const auto fields = std::as_bytes(std::span(&header, 1)).first(offsetof(KvPageHeader, digest));
  header.digest = hash.of({fields, std::as_bytes(content.tokens), content.page});
  return header;
}

KvPageFound find_kv_page(std::span<const std::byte> file, const KvPageExpected& expected, KeyedHash& hash) {
  KvPageHeader header;
  const KvPageHeader current;
  if (file.size() < sizeof header) return {{}, "it is cut short"};
  std::memcpy(&header, file.data(), sizeof header);
  if (std::memcmp(header.magic, current.magic, sizeof header.magic) != 0) return {{}, "it is no page of this version"};
  if (header.key != expected.key) return {{}, "it is another page"};
  if (header.tokens != expected.tokens.size() || header.page_bytes != static_cast<uint64_t>(expected.page_bytes)) {
    return {{}, "it is a page of another size"};
  }
  const auto size = kv_page_file_bytes(static_cast<int64_t>(expected.tokens.size()), expected.page_bytes);
  if (file.size() != static_cast<size_t>(size)) return {{}, "it is cut short, or longer than it should be"};
  const std::span<const std::byte> rest = file.subspan(sizeof header);
  if (!equal(header.digest, digest_of(header, rest, hash))) return {{}, "it is damaged, or was not written here"};
  if (std::memcmp(rest.data(), expected.tokens.data(), expected.tokens.size_bytes()) != 0) {
    return {{}, "it is of other tokens"};
  }
  return {rest.subspan(expected.tokens.size_bytes()), {}};
}

}  // namespace glimmer

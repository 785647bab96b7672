// File format of a KV page: a header, the page's tokens (int32), the page. Little-endian, without trailing bytes.
//
// The header's digest is a keyed hash of everything else and of the page's key, so a page that is damaged, forged, or
// renamed is rejected.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "engine/keyed_hash.h"

namespace glimmer {

// Which page: a hash of the model, the type and the scope, and of all tokens up to the page's end.
struct KvKey {
  uint64_t high = 0;
  uint64_t low = 0;
  auto operator<=>(const KvKey&) const = default;
};

struct KvPageHeader {
  char magic[8] = {'G', 'L', 'M', 'K', 'V', 'P', 'G', '2'};
  KvKey key;
  uint64_t tokens = 0;
  uint64_t page_bytes = 0;
  KeyedHash::Digest digest{};
};
static_assert(sizeof(KvPageHeader) == 72);

// What every version of the magic begins with.
inline constexpr std::string_view kKvPageMagic = "GLMKVPG";

struct KvPageContent {
  KvKey key;
  std::span<const int32_t> tokens;
  std::span<const std::byte> page;
};

int64_t kv_page_file_bytes(int64_t tokens, int64_t page_bytes);

// The header of a file with this content. Throws std::bad_alloc.
KvPageHeader kv_page_header(const KvPageContent& content, KeyedHash& hash);

struct KvPageExpected {
  KvKey key;
  std::span<const int32_t> tokens;
  int64_t page_bytes = 0;
};

struct KvPageFound {
  std::span<const std::byte> page;  // within the file; empty if it is not to be used
  std::string_view fault;           // then why: "it is cut short"
};

// Takes any bytes. Throws std::bad_alloc.
KvPageFound find_kv_page(std::span<const std::byte> file, const KvPageExpected& expected, KeyedHash& hash);

}  // namespace glimmer

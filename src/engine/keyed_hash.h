// HMAC-SHA-256 (RFC 2104, by OpenSSL): a hash that cannot be forged without the key. Not thread-safe.
#pragma once

#include <array>
#include <cstddef>
#include <initializer_list>
#include <span>

struct evp_mac_ctx_st;

namespace glimmer {

class KeyedHash {
 public:
  using Key = std::array<std::byte, 32>;
  using Digest = std::array<std::byte, 32>;

  explicit KeyedHash(const Key& key);  // throws std::bad_alloc
  ~KeyedHash();
  KeyedHash(const KeyedHash&) = delete;
  KeyedHash& operator=(const KeyedHash&) = delete;

  // Of the parts as if they were one. Throws std::bad_alloc.
  Digest of(std::initializer_list<std::span<const std::byte>> parts);

 private:
  evp_mac_ctx_st* context_ = nullptr;
};

}  // namespace glimmer

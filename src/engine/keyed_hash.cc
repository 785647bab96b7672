#include "engine/keyed_hash.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <new>

namespace glimmer {
namespace {

auto* bytes_of(const std::byte* data) { return reinterpret_cast<const unsigned char*>(data); }

// OpenSSL fails here only when out of memory: the arguments are always valid.
void require(bool done) {
  if (!done) throw std::bad_alloc();
}

}  // namespace

KeyedHash::KeyedHash(const Key& key) {
  EVP_MAC* mac = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
  if (mac != nullptr) context_ = EVP_MAC_CTX_new(mac);
  EVP_MAC_free(mac);  // the context keeps it
  require(context_ != nullptr);
  char digest[] = "SHA256";
  const std::array parameters = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                                 OSSL_PARAM_construct_end()};
  if (EVP_MAC_init(context_, bytes_of(key.data()), key.size(), parameters.data()) != 1) {
    EVP_MAC_CTX_free(context_);
    throw std::bad_alloc();
  }
}

KeyedHash::~KeyedHash() { EVP_MAC_CTX_free(context_); }

KeyedHash::Digest KeyedHash::of(std::initializer_list<std::span<const std::byte>> parts) {
  require(EVP_MAC_init(context_, nullptr, 0, nullptr) == 1);  // the same key again
  for (const std::span<const std::byte> part : parts) {
    require(EVP_MAC_update(context_, bytes_of(part.data()), part.size()) == 1);
  }
  Digest digest;
  size_t size = 0;
  require(EVP_MAC_final(context_, reinterpret_cast<unsigned char*>(digest.data()), &size, digest.size()) == 1 &&
          size == digest.size());
  return digest;
}

}  // namespace glimmer

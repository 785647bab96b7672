// API keys, stored as hashes and compared in constant time.
#pragma once

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serve/exchange.h"

namespace glimmer::serve {

class ApiKeys {
 public:
  // Throws kUsage for a key that is shorter than 8 characters or holds other than visible ASCII.
  explicit ApiKeys(const std::vector<std::string>& keys);

  bool none() const { return keys_.empty(); }

  // The id of the key that the request brings, as "Authorization: Bearer KEY" or "x-api-key: KEY"; nothing when it
  // brings none that is known.
  std::optional<std::string> identify(const HttpRequest& request) const;

 private:
  using Hash = std::array<unsigned char, 32>;
  struct Key {
    Hash hash;
    std::string id;
  };
  static Hash hash_of(std::string_view text);
  const Key* find(std::string_view given) const;

  std::vector<Key> keys_;
};

// One key a line; empty lines and lines that begin with # are left out. Throws as reading a file does, and kUsage when
// there is no key in it.
std::vector<std::string> read_key_file(const std::filesystem::path& path);

}  // namespace glimmer::serve

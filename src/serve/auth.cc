#include "serve/auth.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/error.h"
#include "base/mapped_file.h"
#include "serve/http_text.h"

namespace glimmer::serve {
namespace {

constexpr size_t kMinKeyBytes = 8;
constexpr size_t kMaxKeyBytes = 1024;
constexpr size_t kMaxKeyFileBytes = size_t{1} << 20;

void check_key(const std::string& key) {
  if (key.size() < kMinKeyBytes || key.size() > kMaxKeyBytes) {
    fail(ErrorCode::kUsage, "an API key has {} characters, but must have {} to {}", key.size(), kMinKeyBytes,
         kMaxKeyBytes);
  }
  for (const char c : key) {
    if (c <= ' ' || c > '~') fail(ErrorCode::kUsage, "an API key holds a space or other than ASCII characters");
  }
}

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1);
}

}  // namespace

ApiKeys::ApiKeys(const std::vector<std::string>& keys) {
  for (const std::string& key : keys) {
    check_key(key);
    const Hash id = hash_of("glimmer API key id: " + key);  // not the hash that is compared, as logs show this one
    std::string text;
    for (size_t i = 0; i < 8; ++i) text += fmt::format("{:02x}", id[i]);
    keys_.push_back({hash_of(key), std::move(text)});
  }
}

ApiKeys::Hash ApiKeys::hash_of(std::string_view text) {
  Hash hash;
  unsigned int size = 0;
  if (EVP_Digest(text.data(), text.size(), hash.data(), &size, EVP_sha256(), nullptr) != 1 || size != hash.size()) {
    fail(ErrorCode::kUnsupported, "OpenSSL has no SHA-256");
  }
  return hash;
}

// Constant time: compares with every key, and every byte of its hash.
const ApiKeys::Key* ApiKeys::find(std::string_view given) const {
  const Hash hash = hash_of(given);
  const Key* found = nullptr;
  for (const Key& key : keys_) {
    if (CRYPTO_memcmp(key.hash.data(), hash.data(), hash.size()) == 0) found = &key;
  }
  return found;
}

std::optional<std::string> ApiKeys::identify(const HttpRequest& request) const {
  const Key* found = nullptr;
  if (const std::string* given = request.header("authorization")) {
    constexpr std::string_view kBearer = "bearer ";
    if (lower_case(std::string_view(*given).substr(0, kBearer.size())) == kBearer) {
      found = find(trimmed(std::string_view(*given).substr(kBearer.size())));
    }
  }
  if (const std::string* given = request.header("x-api-key"); given != nullptr && found == nullptr) {
    found = find(trimmed(*given));
  }
  if (found == nullptr) return std::nullopt;
  return found->id;
}

std::vector<std::string> read_key_file(const std::filesystem::path& path) {
  const std::string text = read_file(path, kMaxKeyFileBytes);
  std::vector<std::string> keys;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = trimmed(std::string_view(text).substr(begin, end - begin));
    if (!line.empty() && line.front() != '#') keys.emplace_back(line);
    begin = end + 1;
  }
  if (keys.empty()) fail(ErrorCode::kUsage, "{}: there is no API key in it", path.string());
  return keys;
}

}  // namespace glimmer::serve

// TLS 1.2 and 1.3 for the server, by OpenSSL.
#pragma once

#include <filesystem>

namespace glimmer::serve {

struct TlsFiles {
  std::filesystem::path certificate;  // PEM, the server's own first, then those between it and the root
  std::filesystem::path key;          // PEM, without a passphrase
};

}  // namespace glimmer::serve

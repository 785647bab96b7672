// The network flags of `glimmer serve`, and their resolution.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "apps/flags.h"
#include "serve/http_server.h"
#include "serve/request_log.h"
#include "serve/site.h"

namespace glimmer::apps {

struct ServeFlags {
  serve::HttpServerOptions http;
  std::vector<std::string> api_keys;
  std::optional<std::string> api_key_file;
  bool insecure = false;
  std::optional<std::string> tls_certificate;
  std::optional<std::string> tls_key;
  std::vector<std::string> cors_origins;
  std::optional<double> read_timeout_s;
  std::optional<double> idle_timeout_s;
  std::optional<double> write_timeout_s;
  std::optional<double> heartbeat_s;
  std::optional<double> drain_timeout_s;  // 30
  std::string log_format = "text";

  void add(Flags& flags);

  // Fills in what the flags leave to others: $GLIMMER_API_KEY, the key file, TLS, times. Throws kUsage, and refuses an
  // address that others reach when there is neither an API key nor --insecure.
  void resolve();
  serve::SiteOptions site_options() const;
};

}  // namespace glimmer::apps

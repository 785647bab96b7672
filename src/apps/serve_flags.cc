#include "apps/serve_flags.h"

#include <cstdlib>

#include "base/error.h"
#include "serve/auth.h"

namespace glimmer {

void ServeFlags::add(Flags& flags) {
  flags.group("Network")
      .add("--host", http.host, "ADDRESS", "Where to listen (default: 127.0.0.1); others need an API key or --insecure")
      .add("--port", http.port, "N", "(default: 8080); 0: any that is free, which the first line then tells")
      .add("--api-key", api_keys, "KEY", "Answer only to who brings it; may be repeated (better: --api-key-file)")
      .add("--api-key-file", api_key_file, "FILE", "API keys, one a line; $GLIMMER_API_KEY holds one too")
      .add_switch("--insecure", insecure, "Let everyone in who reaches the address, by whatever host name")
      .add("--tls-cert", tls_certificate, "FILE.pem", "Speak TLS, with this certificate and those that it hangs on")
      .add("--tls-key", tls_key, "FILE.pem", "Its private key")
      .add("--cors-origin", cors_origins, "ORIGIN", "Let web pages of this origin ask, or * for any; may be repeated");
  flags.group("Limits")
      .add("--max-connections", http.limits.max_connections, "N", "Connections at once (default: 2048)")
      .add("--max-header", http.limits.max_header_bytes, "BYTES", "Of a request (default: 65536)")
      .add("--max-body", http.limits.max_body_bytes, "BYTES", "Of a request (default: 33554432)")
      .add("--max-buffered", http.limits.max_buffered_bytes, "BYTES", "Bodies of all requests (default: 1073741824)")
      .add("--stream-buffer", http.limits.stream_buffer_bytes, "BYTES",
           "That wait for a client which reads slowly, before its generation rests (default: 262144)")
      .add("--read-timeout", read_timeout_s, "S", "For a request to come (default: 15; a body has 1 more for 16 KiB)")
      .add("--idle-timeout", idle_timeout_s, "S", "Of a connection between requests (default: 120)")
      .add("--write-timeout", write_timeout_s, "S", "Of a client that reads nothing (default: 30)")
      .add("--heartbeat", heartbeat_s, "S", "A sign of life in streams that are silent so long (default: 15)")
      .add("--drain-timeout", drain_timeout_s, "S", "For answers under way when the server is to end (default: 30)")
      .add("--io-threads", http.threads, "N", "Threads for the network (default: 2)");
  flags.group("Log").add("--log-format", log_format, "NAME",
                         "text (default), json or none: a line a request, on standard error");
}

void ServeFlags::resolve() {
  if (const char* key = std::getenv("GLIMMER_API_KEY"); key != nullptr && *key != '\0') api_keys.emplace_back(key);
  if (api_key_file) {
    for (std::string& key : read_key_file(*api_key_file)) api_keys.push_back(std::move(key));
  }
  if (api_keys.empty() && !insecure && !is_loopback_host(http.host)) {
    fail(ErrorCode::kUsage,
         "--host {}: others than this machine reach it; give an API key (--api-key-file, --api-key, $GLIMMER_API_KEY), "
         "or --insecure to let everyone in",
         http.host);
  }
  if (tls_certificate.has_value() != tls_key.has_value())
    fail(ErrorCode::kUsage, "--tls-cert and --tls-key go together");
  if (tls_certificate) http.tls = TlsFiles{*tls_certificate, *tls_key};
  http.limits.read_timeout_s = read_timeout_s.value_or(http.limits.read_timeout_s);
  http.limits.idle_timeout_s = idle_timeout_s.value_or(http.limits.idle_timeout_s);
  http.limits.write_timeout_s = write_timeout_s.value_or(http.limits.write_timeout_s);
  http.limits.heartbeat_s = heartbeat_s.value_or(http.limits.heartbeat_s);
  drain_timeout_s = drain_timeout_s.value_or(30);
  if (!(*drain_timeout_s >= 0 && *drain_timeout_s <= 86400)) {
    fail(ErrorCode::kUsage, "--drain-timeout is {}, but must be in [0, 86400]", *drain_timeout_s);
  }
}

SiteOptions ServeFlags::site_options() const {
  const bool checks_host = api_keys.empty() && !insecure;
  return {.api_keys = api_keys, .cors_origins = cors_origins, .local_host = checks_host ? http.host : ""};
}

}  // namespace glimmer

#include "apps/serve_flags.h"

#include <cstdlib>

#include "base/error.h"
#include "serve/auth.h"

namespace glimmer::apps {

void ServeFlags::add(Flags& flags) {
  flags.group("Network")
      .add("--host", http.host, "ADDRESS",
           "Address to listen on (default: 127.0.0.1); any but loopback needs an API key or --insecure")
      .add("--port", http.port, "N", "Port to listen on (default: 8080); 0 picks a free one and prints it")
      .add("--api-key", api_keys, "KEY",
           "Require this API key; may be given more than once (ps shows it: prefer --api-key-file)")
      .add("--api-key-file", api_key_file, "FILE", "Read API keys from a file, one per line; $GLIMMER_API_KEY adds one")
      .add_switch("--insecure", insecure, "Disable authentication and the Host check")
      .add("--tls-cert", tls_certificate, "FILE.pem", "Serve TLS with this certificate chain (PEM)")
      .add("--tls-key", tls_key, "FILE.pem", "Private key of --tls-cert (PEM, no passphrase)")
      .add("--cors-origin", cors_origins, "ORIGIN",
           "Allow requests from web pages of this origin (*: any); may be given more than once");
  flags.group("Limits")
      .add("--max-connections", http.limits.max_connections, "N", "Concurrent connections (default: 2048)")
      .add("--max-header", http.limits.max_header_bytes, "BYTES", "Request line and headers (default: 65536)")
      .add("--max-body", http.limits.max_body_bytes, "BYTES", "Request body (default: 33554432)")
      .add("--max-buffered", http.limits.max_buffered_bytes, "BYTES",
           "Request bodies held in memory, all together (default: 1073741824)")
      .add("--stream-buffer", http.limits.stream_buffer_bytes, "BYTES",
           "Unsent output per slow client before its generation is paused (default: 262144)")
      .add("--read-timeout", read_timeout_s, "S",
           "Timeout for receiving a request (default: 15, plus 1 per 16 KiB of body)")
      .add("--idle-timeout", idle_timeout_s, "S",
           "Close a connection that is idle between requests for so long (default: 120)")
      .add("--write-timeout", write_timeout_s, "S", "Drop a client that reads nothing for so long (default: 30)")
      .add("--heartbeat", heartbeat_s, "S",
           "Send a keep-alive after this many seconds of silence in a stream (default: 15)")
      .add("--drain-timeout", drain_timeout_s, "S", "Let running answers finish for so long on shutdown (default: 30)")
      .add("--io-threads", http.threads, "N", "Network I/O threads (default: 2)");
  flags.group("Log").add("--log-format", log_format, "NAME",
                         "Request log on standard error, one line per request: text (default), json or none");
}

void ServeFlags::resolve() {
  if (const char* key = std::getenv("GLIMMER_API_KEY"); key != nullptr && *key != '\0') api_keys.emplace_back(key);
  if (api_key_file) {
    for (std::string& key : serve::read_key_file(*api_key_file)) api_keys.push_back(std::move(key));
  }
  if (api_keys.empty() && !insecure && !serve::is_loopback_host(http.host)) {
    fail(ErrorCode::kUsage,
         "--host {} is reachable from other machines: give an API key (--api-key-file, --api-key, $GLIMMER_API_KEY), "
         "or --insecure to disable authentication",
         http.host);
  }
  if (tls_certificate.has_value() != tls_key.has_value())
    fail(ErrorCode::kUsage, "--tls-cert and --tls-key go together");
  if (tls_certificate) http.tls = serve::TlsFiles{*tls_certificate, *tls_key};
  http.limits.read_timeout_s = read_timeout_s.value_or(http.limits.read_timeout_s);
  http.limits.idle_timeout_s = idle_timeout_s.value_or(http.limits.idle_timeout_s);
  http.limits.write_timeout_s = write_timeout_s.value_or(http.limits.write_timeout_s);
  http.limits.heartbeat_s = heartbeat_s.value_or(http.limits.heartbeat_s);
  drain_timeout_s = drain_timeout_s.value_or(30);
  if (!(*drain_timeout_s >= 0 && *drain_timeout_s <= 86400)) {
    fail(ErrorCode::kUsage, "--drain-timeout is {}, but must be in [0, 86400]", *drain_timeout_s);
  }
}

serve::SiteOptions ServeFlags::site_options() const {
  const bool checks_host = api_keys.empty() && !insecure;
  return {.api_keys = api_keys, .cors_origins = cors_origins, .local_host = checks_host ? http.host : ""};
}

}  // namespace glimmer::apps

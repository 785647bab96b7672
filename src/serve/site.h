// The application behind the HTTP server: admits requests, routes them to endpoints, and records them in log and
// metrics.
#pragma once

#include <atomic>
#include <span>
#include <string>
#include <vector>

#include "serve/auth.h"
#include "serve/http_server.h"
#include "serve/metrics.h"
#include "serve/request_log.h"
#include "serve/routes.h"

namespace glimmer::serve {

struct SiteOptions {
  std::vector<std::string> api_keys;      // none: everyone may ask
  std::vector<std::string> cors_origins;  // of web pages that may read answers; "*": any
  // Without a key, on an address that only this machine reaches, a web page in the user's browser could still ask: by a
  // name of its own that it points here (DNS rebinding), or blindly. So the Host must be this machine's, and an Origin
  // one of cors_origins. The host that the server was told to bind; empty: no such check.
  std::string local_host;
};

class Site final : public HttpApplication {
 public:
  // Throws kUsage for keys or origins that are none. Table and log must outlive the site.
  Site(const SiteOptions& options, std::span<const Route> table, RequestLog& log);

  void open(Service& service);  // the model is loaded; it must outlive the HTTP server
  void drain() { draining_ = true; }
  void watch(const HttpServer& http) { http_ = &http; }  // for its counts; it must outlive all requests

  bool draining() const { return draining_; }
  bool ready() const { return service_ != nullptr && !draining_; }
  bool needs_key() const { return !keys_.none(); }
  Service* service() const { return service_; }  // null until open()
  std::span<const Route> table() const { return table_; }
  Metrics& metrics() { return metrics_; }
  const RequestLog& log() const { return log_; }
  TransportCounts transport_counts() const;

  std::optional<HttpAnswer> admit(HttpRequest& head) override;
  void handle(std::shared_ptr<Exchange> exchange) override;
  HttpAnswer refusal(int status, const std::string& message, const HttpRequest& request) override;
  HttpAnswer error_answer(const std::exception_ptr& exception, const HttpRequest& request,
                          RequestNotes& notes) override;
  void decorate(const HttpRequest& request, HttpHeaders& headers) override;
  void done(const RequestRecord& record) override;

 private:
  std::optional<HttpAnswer> refuse_stranger(const HttpRequest& head);
  HttpAnswer answer_options(const HttpRequest& head);
  HttpAnswer no_such_path(const HttpRequest& head);
  std::optional<HttpAnswer> refuse_encoding(const HttpRequest& head);
  bool is_allowed_origin(const std::string& origin) const;

  ApiKeys keys_;
  std::vector<std::string> cors_origins_;
  std::string local_host_;
  std::span<const Route> table_;
  RequestLog& log_;
  Metrics metrics_;
  std::atomic<const HttpServer*> http_{nullptr};
  std::atomic<Service*> service_{nullptr};
  std::atomic<bool> draining_{false};
};

}  // namespace glimmer::serve

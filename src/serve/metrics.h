// The metrics of /metrics; docs/serve.md lists every name.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "engine/engine.h"
#include "serve/http_server.h"
#include "serve/routes.h"

namespace glimmer::serve {

struct MetricsSource {
  TransportCounts transport;
  bool ready = false;
  int64_t dropped_log_lines = 0;
  std::optional<EngineStats> engine;  // absent: the model is not loaded
  int64_t page_tokens = 0;
};

class Metrics {
 public:
  explicit Metrics(std::span<const Route> table);

  void count(const RequestRecord& record);  // from any thread

  // In Prometheus' text format, version 0.0.4.
  std::string text(const MetricsSource& source) const;

 private:
  struct Key {
    std::string endpoint;  // the route's path; "other" for those that are no route
    std::string method;
    int status;
    auto operator<=>(const Key&) const = default;
  };

  mutable std::mutex mutex_;
  std::map<Key, int64_t> requests_;
  std::map<std::string, int64_t> outcomes_;
  std::map<std::string, Histogram> seconds_;  // by endpoint, of whole answers
  int64_t received_bytes_ = 0;
  int64_t sent_bytes_ = 0;
  double start_time_s_ = 0;
};

}  // namespace glimmer::serve

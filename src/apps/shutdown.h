// SIGTERM and Ctrl-C as a request to shut down a server.
#pragma once

#include <string_view>

#include "serve/http_server.h"
#include "serve/request_log.h"
#include "serve/site.h"

namespace glimmer::apps {

// From here on a broken pipe is a write error, not a signal.
void ignore_broken_pipes();

// While one exists, the first SIGTERM or SIGINT is kept for serve_until_signal(), and the second ends the process at
// once, with exit status 128 + its number. One at a time.
class ShutdownSignals {
 public:
  ShutdownSignals();
  ~ShutdownSignals();
  ShutdownSignals(const ShutdownSignals&) = delete;
  ShutdownSignals& operator=(const ShutdownSignals&) = delete;
};

// Writes a line on standard output, or gives up when a signal comes before anyone has taken it. Throws kIo when the
// system refuses. Needs ShutdownSignals, as does what follows.
void announce(std::string_view line);

struct Serving {
  serve::HttpServer& http;
  serve::Site& site;
  serve::RequestLog& log;
  double drain_timeout_s;
  std::function<void()> refuse_work;  // called when the signal comes
  std::function<void()> end_work;  // called when all is answered, or the time is over: nothing may be posted after it
};

// Waits for the signal; then accepts no more, lets what is under way finish, and stops.
void serve_until_signal(const Serving& serving);

}  // namespace glimmer::apps

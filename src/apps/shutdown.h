// SIGTERM and Ctrl-C as a request to a server to end.
#pragma once

#include "serve/http_server.h"
#include "serve/request_log.h"
#include "serve/site.h"

namespace glimmer {

// From here on the first SIGTERM or SIGINT is kept for serve_until_signal(), and the second ends the process at once,
// with exit status 128 + its number. A broken pipe is an error of a write, no signal.
void catch_shutdown_signals();

struct Serving {
  HttpServer& http;
  Site& site;
  RequestLog& log;
  double drain_timeout_s;
  std::function<void()> refuse_work;  // called when the signal comes
  std::function<void()> end_work;  // called when all is answered, or the time is over: nothing may be posted after it
};

// Waits for the signal; then accepts no more, lets what is under way finish, and stops.
void serve_until_signal(const Serving& serving);

}  // namespace glimmer

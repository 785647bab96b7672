// A server with endpoints that try the transport, for the tests beside it. Flags as glimmer serve's for the network.
//   POST /v1/echo          the body, and what the server saw of the request in headers
//   GET  /v1/text/{n}      n bytes
//   GET  /v1/stream/{n}    n events of 1 KiB as fast as the client reads
//   GET  /v1/count/{n}     n events, one each 50 ms, then the end
//   GET  /v1/forever/{why} begins a stream (or "silent": nothing) that never ends; counts those that were told of the
//   end GET  /v1/throw/{what}  an exception: error, api, overloaded, other, posted, later (in a stream) GET  /v1/drop
//   lets go of the exchange GET  /v1/flood         writes regardless of writable() GET  /v1/closed        how many of
//   /v1/forever and /v1/stream were told that their client is gone POST /v1/messages      an ApiError, in Anthropic's
//   shape
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "apps/serve_flags.h"
#include "apps/shutdown.h"
#include "base/error.h"
#include "engine/engine.h"
#include "serve/service.h"
#include "serve/sse.h"
#include "serve/system_endpoints.h"

namespace glimmer::serve {
namespace {

using Shared = std::shared_ptr<Exchange>;

std::atomic<int64_t> closed{0};

int64_t number_of(const std::string& text) { return apps::parse_int(text, "the path"); }

void echo(Service&, Shared exchange) {
  const HttpRequest& request = exchange->request();
  const HttpHeaders headers = {{"X-Path", request.path},
                               {"X-Query", request.query},
                               {"X-Key-Id", request.key_id},
                               {"X-Injected", "a\r\nX-Evil: 1"}};
  const std::string* type = request.header("content-type");
  exchange->respond(200, type != nullptr ? *type : "text/plain", request.body, headers);
}

void text(Service&, Shared exchange) {
  const int64_t size = number_of(exchange->request().parameter);
  exchange->respond(200, "text/plain", std::string(static_cast<size_t>(size), 'x'));
}

// Writes while the client takes it.
void stream(Service&, Shared exchange) {
  const int64_t events = number_of(exchange->request().parameter);
  exchange->begin_stream(kEventStream, std::string(kSseComment));
  auto sent = std::make_shared<int64_t>(0);
  const auto go_on = [exchange = exchange.get(), sent, events] {
    while (*sent < events && exchange->writable()) {
      std::string event;
      append_sse(event, "n", std::to_string((*sent)++) + " " + std::string(1000, 'x'));
      exchange->write(event);
    }
    if (*sent == events) exchange->end_stream();
  };
  exchange->on_closed([] { ++closed; });
  exchange->on_writable([exchange, go_on] { go_on(); });  // keeps the exchange
  go_on();
}

// Told by another thread, more often than the connection's thread may come to look.
void count(Service&, Shared exchange) {
  const int64_t events = number_of(exchange->request().parameter);
  exchange->begin_stream(kEventStream, std::string(kSseComment));
  struct Counted {
    std::atomic<int64_t> told{0};
    int64_t written = 0;
  };
  const auto counted = std::make_shared<Counted>();
  exchange->on_news([exchange, counted, events] {
    while (counted->written < counted->told) {
      std::string event;
      append_sse(event, "", std::to_string(counted->written++));
      exchange->write(event);
    }
    if (counted->written == events) exchange->end_stream();
  });
  std::thread([exchange, counted, events] {
    for (int64_t i = 0; i < events; ++i) {
      ++counted->told;
      exchange->tell_news();
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  }).detach();
}

void forever(Service&, Shared exchange) {
  if (exchange->request().parameter != "silent") {
    exchange->begin_stream(kEventStream, std::string(kSseComment));
    exchange->write("data: first\n\n");
  }
  Exchange& unowned = *exchange;
  unowned.on_closed([exchange] { ++closed; });
}

void throw_it(Service&, Shared exchange) {
  const std::string& what = exchange->request().parameter;
  if (what == "error") fail(ErrorCode::kInvalid, "the field is wrong");
  if (what == "api") {
    ApiError error(422, "no such thing");
    error.param = "field";
    throw error;
  }
  if (what == "overloaded") throw Engine::Overloaded(ErrorCode::kLimit, "the queue is full");
  if (what == "posted") {
    exchange->on_news([exchange] { throw std::runtime_error("secret"); });
    exchange->tell_news();
  } else if (what == "later") {
    exchange->begin_stream(kEventStream, "");
    exchange->write("data: first\n\n");
    exchange->on_news([exchange] { throw std::runtime_error("secret"); });
    exchange->tell_news();
  } else if (what == "number") {
    throw 42;
  } else {
    throw std::runtime_error("secret");
  }
}

void drop(Service&, Shared exchange) {
  std::thread([kept = std::move(exchange)]() mutable {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    kept.reset();
  }).detach();
}

void flood(Service&, Shared exchange) {
  exchange->begin_stream(kEventStream, "");
  exchange->on_closed([exchange] { ++closed; });
  const std::string piece(1 << 16, 'x');
  for (int i = 0; i < 1000; ++i) exchange->write(piece);
}

void tell_closed(Service&, Shared exchange) { exchange->respond(200, "text/plain", std::to_string(closed.load())); }

void refuse(Service&, Shared exchange) {
  ApiError error(429, "too much");
  error.retry_after_s = 7;
  respond_error(*exchange, ErrorShape::kAnthropic, error);
}

const std::array kTable = {
    Route{.method = "GET", .path = "/health", .own = answer_health, .access = RouteAccess::kOpen},
    Route{.method = "GET", .path = "/ready", .own = answer_ready, .access = RouteAccess::kOpen},
    Route{.method = "GET", .path = "/openapi.json", .own = answer_openapi},
    Route{.method = "GET",
          .path = "/metrics",
          .own =
              [](Site& site, Exchange& exchange) {
                const MetricsSource source{.transport = site.transport_counts(),
                                           .dropped_log_lines = site.log().dropped_lines()};
                exchange.respond(200, "text/plain", site.metrics().text(source));
              }},
    Route{.method = "POST", .path = "/v1/echo", .summary = "Echo", .endpoint = echo},
    Route{.method = "GET", .path = "/v1/text/{n}", .endpoint = text},
    Route{.method = "GET", .path = "/v1/stream/{n}", .endpoint = stream},
    Route{.method = "GET", .path = "/v1/count/{n}", .endpoint = count},
    Route{.method = "GET", .path = "/v1/forever/{why}", .endpoint = forever},
    Route{.method = "GET", .path = "/v1/throw/{what}", .endpoint = throw_it},
    Route{.method = "GET", .path = "/v1/drop", .endpoint = drop},
    Route{.method = "GET", .path = "/v1/flood", .endpoint = flood},
    Route{.method = "GET", .path = "/v1/closed", .endpoint = tell_closed},
    Route{.method = "POST", .path = "/v1/messages", .endpoint = refuse, .errors = ErrorShape::kAnthropic},
};

int run(apps::Arguments arguments) {
  apps::ServeFlags serve;
  bool never_ready = false;
  apps::Flags flags("serve", "A server that tries the transport.");
  serve.add(flags);
  flags.add_switch("--never-ready", never_ready, "As while a model is being loaded");
  if (!flags.parse(arguments)) return 0;
  serve.resolve();
  apps::ignore_broken_pipes();
  const apps::ShutdownSignals signals;
  RequestLog log(log_format_by_name(serve.log_format));
  Site site(serve.site_options(), kTable, log);
  HttpServer http(serve.http, site);
  site.watch(http);
  // None of these endpoints looks at what it is given.
  alignas(std::max_align_t) static std::array<char, 64> nothing;
  Service service{*reinterpret_cast<Engine*>(nothing.data()), *reinterpret_cast<ServedModel*>(nothing.data()), {}};
  if (!never_ready) site.open(service);
  apps::announce(fmt::format("listening on {}\n", http.url()));
  const auto nothing_to_do = [] {};
  apps::serve_until_signal({http, site, log, *serve.drain_timeout_s, nothing_to_do, nothing_to_do});
  return 0;
}

}  // namespace
}  // namespace glimmer::serve

int main(int argc, char** argv) {
  try {
    return glimmer::serve::run({argv + 1, static_cast<size_t>(argc - 1)});
  } catch (const glimmer::Error& error) {
    std::fprintf(stderr, "glimmer: error: %s\n", error.what());
    return error.code() == glimmer::ErrorCode::kUsage ? 2 : 1;
  }
}

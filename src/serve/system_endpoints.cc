#include "serve/system_endpoints.h"

#include "base/json.h"
#include "engine/engine.h"
#include "serve/metrics.h"
#include "serve/openapi.h"
#include "serve/service.h"
#include "serve/site.h"

namespace glimmer::serve {

void answer_health(Site&, Exchange& exchange) {
  exchange.respond(200, "application/json", dump_json({{"status", "ok"}}));
}

void answer_ready(Site& site, Exchange& exchange) {
  const bool ready = site.ready();
  const char* status = site.draining() ? "draining" : ready ? "ready" : "loading";
  HttpHeaders headers;
  if (!ready) headers.emplace_back("Retry-After", "1");
  exchange.respond(ready ? 200 : 503, "application/json", dump_json({{"status", status}}), std::move(headers));
}

void answer_metrics(Site& site, Exchange& exchange) {
  MetricsSource source{
      .transport = site.transport_counts(), .ready = site.ready(), .dropped_log_lines = site.log().dropped_lines()};
  if (const Service* service = site.service()) {
    source.engine = service->engine.stats();
    source.page_tokens = service->engine.page_tokens();
  }
  exchange.respond(200, "text/plain; version=0.0.4; charset=utf-8", site.metrics().text(source));
}

void answer_openapi(Site& site, Exchange& exchange) {
  exchange.respond(200, "application/json", dump_json(openapi(site.table(), site.needs_key())));
}

}  // namespace glimmer::serve

// Endpoints about the server itself: health, readiness, metrics, OpenAPI.
#pragma once

#include "serve/exchange.h"

namespace glimmer::serve {

class Site;

void answer_health(Site& site, Exchange& exchange);   // 200 as long as anything can be answered
void answer_ready(Site& site, Exchange& exchange);    // 200 or 503
void answer_metrics(Site& site, Exchange& exchange);  // metrics.h
void answer_openapi(Site& site, Exchange& exchange);  // openapi.h

}  // namespace glimmer::serve

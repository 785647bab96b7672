// What endpoints have access to. One per server, thread-safe.
#pragma once

#include "serve/limits.h"

namespace glimmer {
class Engine;
}  // namespace glimmer

namespace glimmer::serve {

class Background;
class ServedModel;

struct Service {
  Engine& engine;
  const ServedModel& model;
  ApiLimits limits;
  bool log_prompts = false;
  bool separate_keys = false;        // prefixes are not shared between API keys: cache_scope is the request's key_id
  Background* background = nullptr;  // for large requests; null: they are read where the others are
};

}  // namespace glimmer::serve

// Limits of the server. Each has a flag of `glimmer serve`; docs/serve.md says what happens beyond it.
#pragma once

#include <cstdint>

namespace glimmer::serve {

// Limits of connections and HTTP messages.
struct TransportLimits {
  int64_t max_connections = 2048;
  int64_t max_header_bytes = 64 << 10;            // request line and headers: 431
  int64_t max_body_bytes = 32 << 20;              // 413
  int64_t max_buffered_bytes = int64_t{1} << 30;  // bodies of all requests together: 503
  int64_t stream_buffer_bytes = 256 << 10;        // unsent output per client before its generation is paused
  double read_timeout_s = 15;                     // for the headers; for the body a second more per 16 KiB
  double idle_timeout_s = 120;                    // between requests
  double write_timeout_s = 30;                    // without any progress
  double heartbeat_s = 15;                        // silence in a stream before a keep-alive
};

// How images, audio, video and files are treated: the model reads text only.
enum class MediaPolicy {
  kNote,    // replaced by a text that says what was left out
  kRefuse,  // 400
};

// Of what a request asks for: 400, where nothing else is said.
struct ApiLimits {
  int64_t max_n = 16;  // answers to one request
  int64_t max_stop_strings = 16;
  int64_t max_stop_bytes = 1024;   // of each
  int64_t max_values = 1 << 20;    // of JSON in a body, those in texts of arguments among them: 413
  int64_t max_logprobs = 1 << 19;  // in an answer that is not streamed, and of echoed prompts
  int64_t max_messages = 16384;
  int64_t max_tools = 512;
  int64_t max_schema_bytes = 256 << 10;  // of each tool's parameters
  int64_t max_prompts = 256;             // in one request of /v1/completions
  MediaPolicy media = MediaPolicy::kNote;
};

}  // namespace glimmer::serve

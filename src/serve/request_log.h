// One log line per request on standard error, through a LineWriter, so that a slow reader blocks nothing.
#pragma once

#include <string>

#include "base/json.h"
#include "base/line_writer.h"
#include "base/log.h"
#include "serve/http_server.h"

namespace glimmer::serve {

enum class LogFormat {
  kText,  // time, level, key=value ...
  kJson,  // one object a line
  kNone,
};

LogFormat log_format_by_name(const std::string& name);  // throws kUsage

// While one exists, all other messages to standard error (base/log.h) go through it too.
class RequestLog {
 public:
  explicit RequestLog(LogFormat format, int descriptor = 2);

  void write(const RequestRecord& record);                                 // from any thread
  void event(std::string_view name, const Json& fields = Json::object());  // a line about the server
  int64_t dropped_lines() const { return writer_.dropped(); }

 private:
  const LogFormat format_;
  LineWriter writer_;
  DiagnosticsThrough diagnostics_{writer_};
};

// The fields of a line, in order; absent ones are left out.
Json log_fields(const RequestRecord& record);
std::string log_line(LogFormat format, std::string_view time, const Json& fields);

}  // namespace glimmer::serve

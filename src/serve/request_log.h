// One line for each request on standard error. A thread of its own writes them, so that nobody waits for a slow pipe;
// when too many wait, lines are dropped and their number is told.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <thread>

#include "base/json.h"
#include "serve/http_server.h"

namespace glimmer {

enum class LogFormat {
  kText,  // time, level, key=value ...
  kJson,  // one object a line
  kNone,
};

LogFormat log_format_by_name(const std::string& name);  // throws kUsage

class RequestLog {
 public:
  explicit RequestLog(LogFormat format, int descriptor = 2);
  ~RequestLog();  // writes what waits

  void write(const RequestRecord& record);                                 // from any thread
  void event(std::string_view name, const Json& fields = Json::object());  // a line about the server

 private:
  void queue(std::string line);
  void run();

  const LogFormat format_;
  const int descriptor_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::string> lines_;
  int64_t dropped_ = 0;
  bool ending_ = false;
  std::thread thread_;
};

// The fields of a line, in their order; what a request has not is left out.
Json log_fields(const RequestRecord& record);
std::string log_line(LogFormat format, std::string_view time, const Json& fields);

}  // namespace glimmer

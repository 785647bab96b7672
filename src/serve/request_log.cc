#include "serve/request_log.h"

#include <chrono>
#include <cmath>
#include <ctime>

#include "base/error.h"
#include "base/printable_text.h"
#include "base/utf8.h"

namespace glimmer::serve {
namespace {

constexpr size_t kMaxFieldBytes = 1024;  // per field from outside, except prompts

std::string now_text() {
  const auto now = std::chrono::system_clock::now();
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() % 1000;
  std::tm t = {};
  gmtime_r(&seconds, &t);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", t.tm_year + 1900, t.tm_mon + 1, t.tm_mday, t.tm_hour,
                     t.tm_min, t.tm_sec, ms);
}

std::string shortened(std::string_view text) {
  if (text.size() <= kMaxFieldBytes) return to_valid_utf8(text);
  text = text.substr(0, kMaxFieldBytes);
  return to_valid_utf8(text.substr(0, text.size() - incomplete_utf8_suffix_bytes(text))) + "...";
}

double rounded_ms(double seconds) { return std::round(seconds * 1e5) / 100; }

// Unquoted if unambiguous, else as a JSON string.
std::string text_value(const Json& value) {
  if (!value.is_string()) return dump_json(value);
  const auto& text = value.get_ref<const std::string&>();
  const bool bare = !text.empty() && text.find_first_not_of(
                                         "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                         "0123456789-._:/+@,[]{}") == std::string::npos;
  return bare ? text : dump_json(value);
}

}  // namespace

LogFormat log_format_by_name(const std::string& name) {
  if (name == "text") return LogFormat::kText;
  if (name == "json") return LogFormat::kJson;
  if (name == "none") return LogFormat::kNone;
  fail(ErrorCode::kUsage, "--log-format is '{}', but must be text, json or none", name);
}

Json log_fields(const RequestRecord& record) {
  const HttpRequest& request = record.request;
  const RequestNotes& notes = record.notes;
  Json fields = {{"id", request.id}, {"client", request.client}};
  const auto add_text = [&](const char* name, std::string_view text) {
    if (!text.empty()) fields[name] = shortened(text);
  };
  const auto add_count = [&](const char* name, int64_t count) {
    if (count >= 0) fields[name] = count;
  };
  const auto add_ms = [&](const char* name, double seconds) {
    if (seconds >= 0) fields[name] = rounded_ms(seconds);
  };
  add_text("key", request.key_id);
  add_text("method", record.method);
  add_text("path", request.path);
  fields["status"] = record.status;
  fields["outcome"] = record.outcome;
  add_ms("ms", record.seconds);
  add_count("received_bytes", record.received_bytes);
  add_count("sent_bytes", record.sent_bytes);
  add_text("model", notes.model);
  add_count("prompt_tokens", notes.prompt_tokens);
  add_count("cached_tokens", notes.cached_tokens);
  add_count("completion_tokens", notes.completion_tokens);
  add_count("reasoning_tokens", notes.reasoning_tokens);
  add_ms("queue_ms", notes.queue_s);
  add_ms("first_token_ms", notes.first_token_s);
  add_text("finish_reason", notes.finish_reason);
  add_text("error", notes.error);
  for (const std::string& remark : notes.remarks) fields["remarks"].push_back(shortened(remark));
  if (!notes.prompt.empty()) fields["prompt"] = notes.prompt;
  if (!notes.answer.empty()) fields["answer"] = notes.answer;
  return fields;
}

std::string log_line(LogFormat format, std::string_view time, const Json& fields) {
  if (format == LogFormat::kJson) {
    Json line = {{"time", std::string(time)}};
    line.update(fields);
    return printable_line(dump_json(line)) + "\n";
  }
  std::string line(time);
  for (const auto& [name, value] : fields.items()) line.append(" ").append(name).append("=").append(text_value(value));
  return printable_line(line) + "\n";
}

RequestLog::RequestLog(LogFormat format, int descriptor)
    : format_(format), writer_(descriptor, [format](int64_t count) {
        if (format == LogFormat::kNone) return fmt::format("glimmer: warning: {} lines were dropped\n", count);
        return log_line(format, now_text(), {{"event", "lines_dropped"}, {"count", count}});
      }) {}

void RequestLog::write(const RequestRecord& record) {
  if (format_ == LogFormat::kNone) return;
  Json fields = {{"event", "request"}};
  fields.update(log_fields(record));
  writer_.write(log_line(format_, now_text(), fields));
}

void RequestLog::event(std::string_view name, const Json& fields) {
  if (format_ == LogFormat::kNone) return;
  Json all = {{"event", std::string(name)}};
  all.update(fields);
  writer_.write(log_line(format_, now_text(), all));
}

}  // namespace glimmer::serve

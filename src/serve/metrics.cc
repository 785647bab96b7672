#include "serve/metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>

namespace glimmer::serve {
namespace {

// Writes one family after the other: "# HELP", "# TYPE", samples.
class Writer {
 public:
  void counter(const char* name, const char* help, double value) {
    family(name, "counter", help).sample("", "", value);
  }
  void gauge(const char* name, const char* help, double value) { family(name, "gauge", help).sample("", "", value); }

  Writer& family(const char* name, const char* type, const char* help) {
    name_ = name;
    fmt::format_to(std::back_inserter(text_), "# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
    return *this;
  }
  void sample(std::string_view suffix, std::string_view labels, double value) {
    text_.append(name_).append(suffix);
    if (!labels.empty()) text_.append("{").append(labels).append("}");
    fmt::format_to(std::back_inserter(text_), " {}\n", number(value));
  }
  void histogram(const std::string& labels, const Histogram& histogram) {
    const std::string before = labels.empty() ? "" : labels + ",";
    int64_t below = 0;
    for (size_t i = 0; i < Histogram::kBounds.size(); ++i) {
      below += histogram.counts[i];
      sample("_bucket", fmt::format("{}le=\"{}\"", before, Histogram::kBounds[i]), static_cast<double>(below));
    }
    sample("_bucket", before + "le=\"+Inf\"", static_cast<double>(histogram.count));
    sample("_sum", labels, histogram.sum);
    sample("_count", labels, static_cast<double>(histogram.count));
  }
  std::string take() { return std::move(text_); }

 private:
  static std::string number(double value) {
    const auto whole = static_cast<int64_t>(value);
    return static_cast<double>(whole) == value ? std::to_string(whole) : fmt::format("{}", value);
  }

  std::string name_;
  std::string text_;
};

double resident_bytes() {
  long pages = 0;
  if (std::FILE* file = std::fopen("/proc/self/statm", "re")) {
    if (std::fscanf(file, "%*d %ld", &pages) != 1) pages = 0;
    std::fclose(file);
  }
  return static_cast<double>(pages) * static_cast<double>(sysconf(_SC_PAGESIZE));
}

double cpu_seconds() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

void write_transport(Writer& out, const TransportCounts& counts) {
  out.gauge("glimmer_http_connections", "Open connections", static_cast<double>(counts.connections));
  out.gauge("glimmer_http_requests_in_flight", "Requests being answered", static_cast<double>(counts.in_flight));
  out.gauge("glimmer_http_buffered_bytes", "Bodies of requests in memory", static_cast<double>(counts.buffered_bytes));
  out.counter("glimmer_http_connections_total", "Connections accepted", static_cast<double>(counts.accepted));
  out.counter("glimmer_http_connections_refused_total", "Connections beyond --max-connections",
              static_cast<double>(counts.refused));
  out.counter("glimmer_http_timeouts_total", "Reads and writes that took too long",
              static_cast<double>(counts.timeouts));
  out.counter("glimmer_http_malformed_total", "Requests that were not HTTP", static_cast<double>(counts.malformed));
}

void write_engine(Writer& out, const EngineStats& s, int64_t page_tokens) {
  const auto d = [](int64_t value) { return static_cast<double>(value); };
  out.gauge("glimmer_requests_running", "Sequences in the batch", d(s.running));
  out.gauge("glimmer_requests_waiting", "Sequences in the queue", d(s.waiting));
  out.gauge("glimmer_requests_resting", "Sequences that nobody reads", d(s.resting));
  out.family("glimmer_requests_ended_total", "counter", "Sequences that ended");
  out.sample("", "how=\"finished\"", d(s.requests_finished));
  out.sample("", "how=\"cancelled\"", d(s.requests_cancelled));
  out.sample("", "how=\"failed\"", d(s.requests_failed));
  out.sample("", "how=\"refused\"", d(s.requests_refused));
  out.counter("glimmer_prompt_tokens_total", "Tokens of prompts, cached or not", d(s.prompt_tokens));
  out.counter("glimmer_prompt_tokens_cached_total", "Tokens of prompts that the prefix cache had", d(s.cached_tokens));
  out.counter("glimmer_generated_tokens_total", "Tokens generated", d(s.generated_tokens));
  out.counter("glimmer_preemptions_total", "Sequences that made room for others and began again", d(s.preemptions));
  out.counter("glimmer_steps_total", "Runs of the model", d(s.steps));
  out.counter("glimmer_step_tokens_total", "Tokens of all runs", d(s.batch_tokens));
  out.counter("glimmer_step_sequences_total", "Sequences of all runs: by steps, the mean batch", d(s.batch_sequences));
  out.gauge("glimmer_kv_page_tokens", "Tokens in a page of keys and values", d(page_tokens));
  out.gauge("glimmer_kv_pages_total", "Pages that may exist", d(s.pages_total));
  out.gauge("glimmer_kv_pages_used", "Pages of sequences that run or rest", d(s.pages_used));
  out.gauge("glimmer_kv_pages_cached", "Pages kept for prefixes only", d(s.pages_cached));
  out.counter("glimmer_kv_pages_spilled_total", "Pages written to --kv-dir", d(s.pages_spilled));
  out.counter("glimmer_kv_pages_restored_total", "Pages read from --kv-dir", d(s.pages_restored));
  out.counter("glimmer_kv_pages_rejected_total", "Pages in --kv-dir that were damaged", d(s.pages_rejected));
  out.family("glimmer_first_token_seconds", "histogram", "From a request's arrival in the engine to its first token")
      .histogram("", s.first_token_s);
  out.family("glimmer_between_tokens_seconds", "histogram", "Between tokens of a sequence")
      .histogram("", s.between_tokens_s);
  out.family("glimmer_queue_seconds", "histogram", "Waiting before the first run").histogram("", s.queue_s);
  out.family("glimmer_step_seconds", "histogram", "A run of the model").histogram("", s.step_s);
}

}  // namespace

Metrics::Metrics(std::span<const Route> table) {
  start_time_s_ = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  for (const Route& route : table) seconds_[std::string(route.path)];  // there from the start
}

void Metrics::count(const RequestRecord& record) {
  constexpr std::string_view kMethods[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"};
  const Route* route = record.request.route;
  Key key{
      .endpoint = route != nullptr ? std::string(route->path) : "other", .method = "other", .status = record.status};
  for (const std::string_view method : kMethods) {
    if (record.method == method) key.method = method;
  }
  const std::lock_guard lock(mutex_);
  ++requests_[key];
  ++outcomes_[std::string(record.outcome)];
  if (record.outcome == "ok" && record.status == 200) {
    const auto found = seconds_.find(key.endpoint);
    if (found != seconds_.end()) found->second.add(record.seconds);
  }
  received_bytes_ += record.received_bytes;
  sent_bytes_ += record.sent_bytes;
}

std::string Metrics::text(const MetricsSource& source) const {
  Writer out;
  out.gauge("glimmer_ready", "1 when the model is loaded and requests are taken", source.ready ? 1 : 0);
  {
    const std::lock_guard lock(mutex_);
    out.family("glimmer_http_requests_total", "counter", "Requests answered, or given up");
    for (const auto& [key, count] : requests_) {
      out.sample("", fmt::format("endpoint=\"{}\",method=\"{}\",status=\"{}\"", key.endpoint, key.method, key.status),
                 static_cast<double>(count));
    }
    out.family("glimmer_http_outcomes_total", "counter", "How answers ended");
    for (const auto& [outcome, count] : outcomes_) {
      out.sample("", fmt::format("outcome=\"{}\"", outcome), static_cast<double>(count));
    }
    out.family("glimmer_http_request_seconds", "histogram", "From a request's first byte to its answer's last");
    for (const auto& [endpoint, histogram] : seconds_) {
      out.histogram(fmt::format("endpoint=\"{}\"", endpoint), histogram);
    }
    out.counter("glimmer_http_received_bytes_total", "Of bodies", static_cast<double>(received_bytes_));
    out.counter("glimmer_http_sent_bytes_total", "Of answers", static_cast<double>(sent_bytes_));
  }
  out.counter("glimmer_log_lines_dropped_total", "That nobody read in time",
              static_cast<double>(source.dropped_log_lines));
  write_transport(out, source.transport);
  if (source.engine) write_engine(out, *source.engine, source.page_tokens);
  out.gauge("process_start_time_seconds", "Unix time", start_time_s_);
  out.gauge("process_resident_memory_bytes", "Memory in use", resident_bytes());
  out.counter("process_cpu_seconds_total", "Processor time", cpu_seconds());
  return out.take();
}

}  // namespace glimmer::serve

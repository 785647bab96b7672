#include "serve/request_log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <thread>

#include "base/error.h"
#include "serve/metrics.h"

namespace glimmer::serve {
namespace {

struct Logged {
  HttpRequest request;
  RequestNotes notes;

  RequestRecord record(int status = 200) const {
    return {.request = request,
            .notes = notes,
            .method = "POST",
            .status = status,
            .received_bytes = 5,
            .sent_bytes = 9,
            .seconds = 0.0123456,
            .outcome = "ok"};
  }
};

TEST(RequestLog, LeavesOutWhatARequestHasNot) {
  Logged logged;
  logged.request.id = "id";
  logged.request.path = "/v1/x";
  EXPECT_EQ(dump_json(log_fields(logged.record())),
            R"({"id":"id","client":"","method":"POST","path":"/v1/x","status":200,"outcome":"ok","ms":12.35,)"
            R"("received_bytes":5,"sent_bytes":9})");
  logged.notes.completion_tokens = 0;
  logged.notes.finish_reason = "stop";
  logged.notes.remarks = {"one", "two"};
  const Json fields = log_fields(logged.record());
  EXPECT_EQ(fields["completion_tokens"], 0);
  EXPECT_EQ(fields["remarks"].size(), 2);
}

TEST(RequestLog, NobodyForgesALine) {
  const Json fields = {{"path", "/a b\nevent=request id=forged \"x\""}, {"status", 200}, {"bare", "a-b_c/d"}};
  const std::string text = log_line(LogFormat::kText, "T", fields);
  EXPECT_EQ(text, "T path=\"/a b\\nevent=request id=forged \\\"x\\\"\" status=200 bare=a-b_c/d\n");
  EXPECT_EQ(parse_json(log_line(LogFormat::kJson, "T", fields), "log")["path"], fields["path"]);
}

TEST(RequestLog, NobodyGivesATerminalOrders) {
  const Json fields = {{"path", "/\x1b[2J\u009b\u202e\x7f"}};
  const std::string shown = "\"/\\u001b[2J\\u009b\\u202e\\u007f\"";
  EXPECT_EQ(log_line(LogFormat::kText, "T", fields), "T path=" + shown + "\n");
  EXPECT_EQ(log_line(LogFormat::kJson, "T", fields), "{\"time\":\"T\",\"path\":" + shown + "}\n");
}

TEST(RequestLog, LongAndBrokenTextsAreCut) {
  Logged logged;
  logged.request.path = "/" + std::string(5000, 'x') + "\xff";
  logged.notes.error = std::string(1023, 'x') + "\xe4\xbd\xa0";
  const Json fields = log_fields(logged.record());
  EXPECT_EQ(fields["path"].get<std::string>().size(), 1024 + 3);
  EXPECT_EQ(fields["error"], std::string(1023, 'x') + "...");
}

TEST(RequestLog, AFullPipeHoldsUpNoOne) {
  int pipe_ends[2];
  ASSERT_EQ(pipe2(pipe_ends, O_CLOEXEC), 0);
  std::string read_back;
  std::thread reader;
  {
    RequestLog log(LogFormat::kText, pipe_ends[1]);
    Logged logged;
    logged.request.path = "/" + std::string(500, 'x');
    for (int i = 0; i < 30'000; ++i) log.write(logged.record());  // returns, though nobody reads
    reader = std::thread([&] {                                    // only now someone does
      std::array<char, 1 << 16> piece;
      for (ssize_t size = 0; (size = read(pipe_ends[0], piece.data(), piece.size())) > 0;) {
        read_back.append(piece.data(), static_cast<size_t>(size));
      }
    });
  }
  close(pipe_ends[1]);
  reader.join();
  close(pipe_ends[0]);
  EXPECT_NE(read_back.find("event=lines_dropped count="), std::string::npos);
  EXPECT_EQ(read_back.back(), '\n');
}

TEST(RequestLog, Formats) {
  EXPECT_EQ(log_format_by_name("json"), LogFormat::kJson);
  EXPECT_THROW(log_format_by_name("JSON"), Error);
}

TEST(Metrics, CountsByEndpointMethodAndStatus) {
  const Route table[] = {{.method = "POST", .path = "/v1/x"}};
  Metrics metrics(table);
  Logged logged;
  logged.request.route = table;
  metrics.count(logged.record());
  metrics.count(logged.record());
  metrics.count(logged.record(400));
  logged.request.route = nullptr;
  metrics.count(logged.record(404));
  EngineStats stats;
  stats.pages_used = 7;
  stats.first_token_s.counts[0] = 2;
  stats.first_token_s.counts[4] = 1;
  stats.first_token_s.count = 4;
  stats.first_token_s.sum = 400.5;
  const std::string text = metrics.text({.engine = stats, .page_tokens = 16});
  const auto has = [&](std::string_view line) {
    EXPECT_NE(text.find(std::string(line) + "\n"), std::string::npos) << line;
  };
  has("glimmer_http_requests_total{endpoint=\"/v1/x\",method=\"POST\",status=\"200\"} 2");
  has("glimmer_http_requests_total{endpoint=\"/v1/x\",method=\"POST\",status=\"400\"} 1");
  has("glimmer_http_requests_total{endpoint=\"other\",method=\"POST\",status=\"404\"} 1");
  has("glimmer_http_request_seconds_bucket{endpoint=\"/v1/x\",le=\"0.01\"} 0");
  has("glimmer_http_request_seconds_bucket{endpoint=\"/v1/x\",le=\"0.025\"} 2");
  has("glimmer_http_request_seconds_count{endpoint=\"/v1/x\"} 2");
  has("glimmer_kv_pages_used 7");
  has("glimmer_first_token_seconds_bucket{le=\"0.001\"} 2");
  has("glimmer_first_token_seconds_bucket{le=\"0.025\"} 3");
  has("glimmer_first_token_seconds_bucket{le=\"300\"} 3");
  has("glimmer_first_token_seconds_bucket{le=\"+Inf\"} 4");
  has("glimmer_first_token_seconds_sum 400.5");
  EXPECT_EQ(metrics.text({}).find("glimmer_kv_pages_used"), std::string::npos);  // no model yet
}

}  // namespace
}  // namespace glimmer::serve

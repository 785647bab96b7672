// Memory that runs out at any of a request's allocations ends that request, with an error or a closed connection, and
// nothing else: the server lives, answers the next request as ever, and holds no page and no count of the one that
// failed.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "engine/engine.h"
#include "model/expected_tensors.h"
#include "serve/background.h"
#include "serve/demo_model.h"
#include "serve/http_server.h"
#include "serve/memory/failing_allocator.h"
#include "serve/request_log.h"
#include "serve/routes.h"
#include "serve/service.h"
#include "serve/site.h"
#include "source/synthetic_source.h"
#include "support/temp_dir.h"

namespace glimmer::serve {
namespace {

using Clock = std::chrono::steady_clock;
using testing::counted_allocations;
using testing::fail_allocations;

constexpr auto kPatience = std::chrono::seconds(10);  // for an answer; passed only where one never comes

// A few random weights that know the demo's tokens.
std::shared_ptr<const ModelSource> tiny_source() {
  Json config =
      parse_json(*folder_side_files(testing::source_dir() / "models/demo").read("config.json"), "config.json");
  for (const char* name :
       {"hidden_size", "intermediate_size", "moe_intermediate_size", "q_lora_rank", "kv_lora_rank"}) {
    config[name] = 32;
  }
  for (const char* name : {"qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"}) config[name] = 16;
  for (const char* name : {"num_attention_heads", "num_key_value_heads", "num_hidden_layers", "n_routed_experts"}) {
    config[name] = 2;
  }
  config["num_experts_per_tok"] = 1;
  const testing::TempDir folder;
  const std::string text = dump_json(config);
  const ModelConfig read = read_config(folder.write("config.json", text));
  return std::make_shared<SyntheticSource>(
      SyntheticSource::Options{.name = "tiny", .config_json = text, .type = &require_writable_type("f32")},
      expected_tensors(read, KvBForm::kHalves));
}

HttpServerOptions http_options() {
  HttpServerOptions options;
  options.port = 0;
  options.threads = 1;
  options.limits.idle_timeout_s = 0.2;  // deadlines are looked at every 25 ms
  return options;
}

struct Server {
  Context context{{.threads = 1, .precision = Precision::kExact}};
  Model model = Model::load(tiny_source());
  RequestLog log{LogFormat::kText, ::dup(2)};
  Site site{{}, routes(), log};
  HttpServer http{http_options(), site};
  Engine engine{model, context, {.max_sequences = 4, .kv_bytes = 4 << 20}};
  Background background;
  Service service{.engine = engine, .model = demo_model(), .limits = {}, .background = &background};

  Server() { site.open(service); }
  ~Server() {
    engine.stop();
    http.stop();
  }
};

// All that comes to `request` until the answer is whole or the connection is closed.
std::string ask(int port, const std::string& request) {
  const int descriptor = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string answer;
  if (::connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    const ssize_t sent = ::send(descriptor, request.data(), request.size(), MSG_NOSIGNAL);
    pollfd readable = {.fd = descriptor, .events = POLLIN, .revents = 0};
    char piece[4096];
    while (sent > 0) {
      if (::poll(&readable, 1, static_cast<int>(std::chrono::milliseconds(kPatience).count())) <= 0) {
        answer = "(nothing came)";
        break;
      }
      const ssize_t size = ::recv(descriptor, piece, sizeof piece, 0);
      if (size <= 0) break;
      answer.append(piece, static_cast<size_t>(size));
    }
  }
  ::close(descriptor);
  return answer;
}

std::string post(const std::string& path, const std::string& body) {
  return "POST " + path +
         " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + body;
}

constexpr std::string_view kLettersAndDigits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
constexpr std::string_view kHexDigits = "0123456789abcdef";

// Takes out those characters of the set that follow `prefix`, and lead up to `end`.
void cut(std::string& text, std::string_view prefix, std::string_view set, std::string_view end = "") {
  for (size_t at = text.find(prefix); at != std::string::npos; at = text.find(prefix, at)) {
    at += prefix.size();
    const size_t last = std::min(text.find_first_not_of(set, at), text.size());
    if (std::string_view(text).substr(last).starts_with(end)) text.erase(at, last - at);
  }
}

// The events of a stream with several choices, one choice after the other: how their tokens meet is up to the threads.
std::string by_choice(const std::string& stream) {
  std::vector<std::string> events;
  std::istringstream lines(stream);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("data: ")) events.push_back(line);
  }
  const auto choice = [](const std::string& event) {
    return event.find("\"index\":0") != std::string::npos ? 0 : event.find("\"index\":1") != std::string::npos ? 1 : 2;
  };
  std::stable_sort(events.begin(), events.end(),
                   [&](const std::string& a, const std::string& b) { return choice(a) < choice(b); });
  std::string out;
  for (const std::string& event : events) out += event + "\n";
  return out;
}

// Status and body, without what is different each time, and what the prefix cache changes.
std::string comparable(const std::string& answer) {
  const size_t body = answer.find("\r\n\r\n");
  if (body == std::string::npos) return answer;
  std::string out = answer.substr(0, answer.find("\r\n")) + answer.substr(body + 2);
  cut(out, "\r\n", kHexDigits, "\r\n");  // sizes of chunks
  for (const char* id : {"chatcmpl-", "cmpl-", "resp_", "msg_", "rs_", "fc_", "call_", "toolu_", "req_"}) {
    cut(out, id, kLettersAndDigits);
  }
  for (const char* number :
       {"created", "created_at", "completed_at", "cached_tokens", "input_tokens", "cache_read_input_tokens"}) {
    cut(out, std::string("\"") + number + "\":", kHexDigits);
  }
  const bool has_choices = out.find("data: ") != std::string::npos && out.find("\"choices\":") != std::string::npos;
  return has_choices ? out.substr(0, out.find("\r\n")) + by_choice(out) : out;
}

int status_of(const std::string& answer) {
  return answer.starts_with("HTTP/1.1 ") && answer.size() > 12 ? std::stoi(answer.substr(9, 3)) : 0;
}

struct Case {
  std::string name;
  std::string request;
};

std::vector<Case> cases() {
  const std::string chat =
      R"("messages":[{"role":"system","content":"Be kind."},{"role":"user","content":"What is 2 + 3?"}])";
  const std::string function =
      R"({"name":"f","description":"d","parameters":{"type":"object","properties":{"x":{"$ref":"#/$defs/e"},"y":{"anyOf":[{"type":"integer"},{"enum":["a","b"]}]}},"$defs":{"e":{"enum":["p","q"]}}}})";
  const std::string tools = R"("tools":[{"type":"function","function":)" + function + "}]";
  const std::string calls =
      R"("messages":[{"role":"user","content":"x"},{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"x\":[1,{\"y\":null}]}"}}]},{"role":"tool","tool_call_id":"c1","content":"r"}])";
  const std::string stream = R"(,"stream":true)";
  std::vector<Case> all;
  const auto add = [&](const std::string& name, const std::string& path, const std::string& fields) {
    all.push_back({name, post(path, "{" + fields + "}")});
  };
  for (const std::string& streamed : {std::string(), stream}) {
    const std::string mark = streamed.empty() ? "" : ", streamed";
    add("chat" + mark, "/v1/chat/completions", chat + R"(,"max_tokens":4,"stop":["zq"])" + streamed);
    add("chat with tools" + mark, "/v1/chat/completions",
        calls + R"(,"max_tokens":4,"n":2,"logprobs":true,"top_logprobs":3,)" + tools + streamed);
    add("completion" + mark, "/v1/completions", R"("prompt":["a b","c"],"max_tokens":4,"logprobs":2)" + streamed);
    add("response" + mark, "/v1/responses",
        R"("input":"Hello","max_output_tokens":4,"tools":[{"type":"function","name":"f","parameters":{"type":"object"}}])" +
            streamed);
    add("message" + mark, "/v1/messages",
        R"("messages":[{"role":"user","content":"Hello"}],"max_tokens":4,"tools":[{"name":"f","input_schema":{"type":"object"}}])" +
            streamed);
  }
  add("count", "/v1/messages/count_tokens", R"("messages":[{"role":"user","content":"Hello"}])");
  add("tokenize", "/tokenize", R"("prompt":"Hello there","with_pieces":true,"return_token_strs":true)");
  add("detokenize", "/detokenize", R"("tokens":[1,2,3])");
  add("template", "/apply-template", chat);
  // Above what is read at once: it goes through the background.
  add("large", "/v1/chat/completions",
      R"("messages":[{"role":"user","content":"Hi"}],"max_tokens":2,"metadata":{"a":")" + std::string(40'000, 'a') +
          "\"}");
  add("large tokenize", "/tokenize", R"("prompt":")" + std::string(40'000, 'a') + R"(","with_pieces":true)");
  add("wrong", "/v1/chat/completions", R"("messages":[{"role":"user","content":5}])");
  all.push_back({"no such path", "GET /none HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"});
  all.push_back({"no HTTP", "NONSENSE\r\n\r\n"});
  return all;
}

class OutOfMemory : public ::testing::Test {
 protected:
  static Server& server() {
    static Server running;
    return running;
  }
  static std::string send(const std::string& request) { return ask(server().http.port(), request); }

  static void expect_nothing_held() {
    const Clock::time_point deadline = Clock::now() + kPatience;
    const auto holds_something = [] {
      const TransportCounts counts = server().http.counts();
      const EngineStats stats = server().engine.stats();
      return counts.connections != 0 || counts.in_flight != 0 || counts.buffered_bytes != 0 ||
             !server().engine.idle() || stats.running != 0 || stats.waiting != 0 || stats.pages_used != 0;
    };
    while (holds_something() && Clock::now() < deadline) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    EXPECT_FALSE(holds_something());
  }

  // Sends the request while allocations [first, first + count) fail.
  static void try_failing(const Case& one, const std::string& expected, int64_t first, int64_t count) {
    SCOPED_TRACE(one.name + ": allocations from " + std::to_string(first) + ", " + std::to_string(count));
    fail_allocations(first, count);
    const std::string answer = send(one.request);
    counted_allocations();
    EXPECT_NE(answer, "(nothing came)");
    const bool is_right = comparable(answer) == expected;
    const bool is_error = status_of(answer) >= 400;
    // A stream that has begun ends with an error, or without the end that it must have.
    const bool is_cut = !answer.ends_with("\r\n0\r\n\r\n") || answer.find("\"error\"") != std::string::npos;
    EXPECT_TRUE(answer.empty() || is_right || is_error || is_cut) << answer;
    EXPECT_EQ(comparable(send(one.request)), expected) << "the next request";
  }
};

TEST_F(OutOfMemory, EndsTheRequestAndNothingElse) {
  constexpr int64_t kWalked = 60;    // at first each, then as many again with growing steps
  constexpr int64_t kForLong = 200;  // allocations in a row
  for (const Case& one : cases()) {
    if (::testing::Test::HasFailure()) return;
    send(one.request);
    fail_allocations(0, 0);
    const std::string expected = comparable(send(one.request));
    const int64_t allocations = counted_allocations();
    ASSERT_EQ(comparable(send(one.request)), expected) << one.name;
    const auto start = Clock::now();
    int64_t step = 1;
    for (int64_t first = 0; first < allocations; first += step) {
      if (first >= kWalked) step = std::max<int64_t>(1, (allocations - kWalked) / kWalked);
      try_failing(one, expected, first, 1);
      if (first % 7 == 0) try_failing(one, expected, first, kForLong);
      if (::testing::Test::HasFailure()) return;
    }
    expect_nothing_held();
    std::printf("%s: %lld allocations, %.1f s\n", one.name.c_str(), static_cast<long long>(allocations),
                std::chrono::duration<double>(Clock::now() - start).count());
  }
}

}  // namespace
}  // namespace glimmer::serve

int main(int argc, char** argv) {
  glimmer::testing::exempt_this_thread();
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}

#include "serve/http_text.h"

#include <gtest/gtest.h>

#include <set>

#include "serve/routes.h"
#include "serve/sse.h"

namespace glimmer::serve {
namespace {

TEST(HttpText, Targets) {
  const auto path_of = [](std::string_view text) {
    const auto target = parse_target(text);
    return target ? target->path + " " + target->query : "none";
  };
  EXPECT_EQ(path_of("/a/b?c=d?e"), "/a/b c=d?e");
  EXPECT_EQ(path_of("/a%20b%2Fc"), "/a b/c ");
  EXPECT_EQ(path_of("/%e4%BD%a0"), "/\xe4\xbd\xa0 ");
  EXPECT_EQ(path_of("http://host:1/x?y"), "/x y");
  EXPECT_EQ(path_of("HTTPS://host"), "/ ");
  EXPECT_EQ(path_of("http://host?y"), "/ y");
  EXPECT_EQ(path_of("?y"), "/ y");
  EXPECT_EQ(path_of("*"), "* ");
  for (const char* bad : {"a", "%", "/%", "/%1", "/%1g", "/%00", "/%7f", "/%ff", "/%c3", "host:80"}) {
    EXPECT_EQ(path_of(bad), "none") << bad;
  }
}

TEST(HttpText, RequestIds) {
  EXPECT_TRUE(is_request_id("req_0-1.2:3/4+5="));
  EXPECT_TRUE(is_request_id(std::string(128, 'x')));
  for (const std::string& bad : {std::string(), std::string(129, 'x'), std::string("a b"), std::string("a\n"),
                                 std::string("a\"b"), std::string("\xc3\xa9")}) {
    EXPECT_FALSE(is_request_id(bad)) << bad;
  }
  std::set<std::string> made;
  for (int i = 0; i < 1000; ++i) made.insert(new_request_id());
  EXPECT_EQ(made.size(), 1000);
  for (const std::string& id : made) EXPECT_TRUE(is_request_id(id) && id.size() == 28) << id;
}

TEST(HttpText, Hosts) {
  EXPECT_EQ(host_without_port("LocalHost:80"), "localhost");
  EXPECT_EQ(host_without_port("[::1]:80"), "::1");
  EXPECT_EQ(host_without_port("[::1"), "::1");
  EXPECT_EQ(host_without_port("["), "");
  EXPECT_EQ(host_without_port(""), "");
  EXPECT_EQ(host_without_port("localhost.evil.example"), "localhost.evil.example");
}

TEST(HttpText, HeadsOfAnswers) {
  const std::string head = response_head(
      {.status = 404, .content_type = "text/plain", .body_bytes = 3, .request_id = "id", .keep_alive = false},
      {{"Name", "a\r\nEvil: b"}});
  EXPECT_TRUE(head.starts_with("HTTP/1.1 404 Not Found\r\n")) << head;
  EXPECT_TRUE(head.ends_with("\r\n\r\n"));
  EXPECT_NE(head.find("\r\nContent-Length: 3\r\n"), std::string::npos);
  EXPECT_NE(head.find("\r\nName: a  Evil: b\r\n"), std::string::npos);
  EXPECT_NE(head.find("\r\nConnection: close\r\n"), std::string::npos);
  EXPECT_NE(response_head({.body_bytes = kChunked}, {}).find("\r\nTransfer-Encoding: chunked\r\n"), std::string::npos);
  EXPECT_EQ(response_head({.status = 204}, {}).find("Content-Length"), std::string::npos);
  EXPECT_EQ(http_date(784111777), "Sun, 06 Nov 1994 08:49:37 GMT");  // RFC 9110, 5.6.7
}

TEST(Sse, EveryLineOfDataHasItsField) {
  const auto event = [](std::string_view name, std::string_view data) {
    std::string out;
    append_sse(out, name, data);
    return out;
  };
  EXPECT_EQ(event("", "{}"), "data: {}\n\n");
  EXPECT_EQ(event("ping", "{}"), "event: ping\ndata: {}\n\n");
  EXPECT_EQ(event("", ""), "data: \n\n");
  EXPECT_EQ(event("", "a\nb\r\nc\rd"), "data: a\ndata: b\ndata: c\ndata: d\n\n");
  EXPECT_EQ(event("", "a\n"), "data: a\ndata: \n\n");
}

TEST(Routes, AreFoundByMethodAndPath) {
  const Route table[] = {{.method = "GET", .path = "/a"},
                         {.method = "POST", .path = "/a"},
                         {.method = "GET", .path = "/a/{rest}"},
                         {.method = "POST", .path = "/b"}};
  EXPECT_EQ(find_route(table, "POST", "/a").route, &table[1]);
  EXPECT_EQ(find_route(table, "GET", "/a/x/y").route, &table[2]);
  EXPECT_EQ(find_route(table, "GET", "/a/x/y").parameter, "x/y");
  EXPECT_EQ(find_route(table, "GET", "/c").route, nullptr);
  EXPECT_EQ(find_route(table, "GET", "/c").allowed, "");
  EXPECT_EQ(find_route(table, "PUT", "/a").allowed, "GET, HEAD, POST, OPTIONS");
  EXPECT_EQ(find_route(table, "GET", "/b").allowed, "POST, OPTIONS");
}

TEST(Routes, AreFoundByEverySpellingOfABaseUrl) {
  const std::pair<const char*, const char*> spellings[] = {{"//v1/chat/completions", "/v1/chat/completions"},
                                                           {"/v1//chat///completions", "/v1/chat/completions"},
                                                           {"/v1/chat/completions/", "/v1/chat/completions"},
                                                           {"/v1/v1/chat/completions", "/v1/chat/completions"},
                                                           {"/chat/completions", "/v1/chat/completions"},
                                                           {"//chat/completions//", "/v1/chat/completions"},
                                                           {"/v1/v1/v1/responses", "/v1/responses"},
                                                           {"/messages/count_tokens", "/v1/messages/count_tokens"},
                                                           {"/v1/tokenize", "/tokenize"},
                                                           {"/v1/v1/apply-template/", "/apply-template"}};
  for (const auto& [spelling, path] : spellings) {
    const RouteMatch found = find_route(routes(), "POST", spelling);
    ASSERT_NE(found.route, nullptr) << spelling;
    EXPECT_EQ(found.route->path, path) << spelling;
  }
  for (const char* spelling :
       {"/v1/health", "/health/", "//health", "/v1/ready", "/v1/metrics", "/models", "/v1/models/"}) {
    EXPECT_NE(find_route(routes(), "GET", spelling).route, nullptr) << spelling;
  }
  EXPECT_EQ(find_route(routes(), "GET", "/models/a//b/").parameter, "a/b");
  EXPECT_EQ(find_route(routes(), "GET", "/chat/completions/").allowed, "POST, OPTIONS");
  for (const char* path : {"/", "//", "/v1", "/v1/", "/v1chat/completions", "/v2/chat/completions", "/v1/v2/models"}) {
    const RouteMatch found = find_route(routes(), "POST", path);
    EXPECT_TRUE(found.route == nullptr && found.allowed.empty()) << path;
  }
  for (const char* path : {"/v1/messages", "//v1/messages", "/messages", "/v1/messages/", "/v1/messages/nothing"}) {
    EXPECT_EQ(error_shape_of(path), ErrorShape::kAnthropic) << path;
  }
}

TEST(Routes, NameTheNearestToAPathThatIsNone) {
  const std::pair<const char*, const char*> near[] = {{"/v1/chat/completion", "/v1/chat/completions"},
                                                      {"/chat", "/v1/chat/completions"},
                                                      {"/api/v1/chat/completions", "/v1/chat/completions"},
                                                      {"/openai/v1/responses/", "/v1/responses"},
                                                      {"/v1/message", "/v1/messages"},
                                                      {"/completion", "/v1/completions"},
                                                      {"/v1/messages/count-tokens", "/v1/messages/count_tokens"},
                                                      {"/healthz", "/health"},
                                                      {"/tokenise", "/tokenize"},
                                                      {"/v1/embeddings", ""},
                                                      {"/", ""},
                                                      {"/favicon.ico", ""}};
  for (const auto& [path, meant] : near) EXPECT_EQ(near_path(routes(), path), meant) << path;
  EXPECT_EQ(near_path(routes(), '/' + std::string(60'000, 'x')), "");
}

TEST(Routes, EachOfTheServerCanAnswerAndIsDescribed) {
  std::set<std::pair<std::string_view, std::string_view>> seen;
  for (const Route& route : routes()) {
    EXPECT_TRUE((route.endpoint != nullptr) != (route.own != nullptr)) << route.path;
    EXPECT_FALSE(route.summary.empty()) << route.path;
    EXPECT_TRUE(seen.emplace(route.method, route.path).second) << route.path << " is there twice";
    EXPECT_EQ(route.errors, error_shape_of(route.path)) << route.path;
  }
}

}  // namespace
}  // namespace glimmer::serve

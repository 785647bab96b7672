#include "serve/routes.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>
#include <vector>

#include "serve/anthropic_messages.h"
#include "serve/models_endpoint.h"
#include "serve/openai_chat.h"
#include "serve/openai_completions.h"
#include "serve/openai_responses.h"
#include "serve/system_endpoints.h"
#include "serve/text_endpoints.h"

namespace glimmer::serve {
namespace {

const std::array kRoutes = {
    Route{.method = "POST",
          .path = "/v1/chat/completions",
          .summary = "Chat completion (OpenAI)",
          .endpoint = chat_completions,
          .request_schema = chat_completion_request_schema,
          .response_schema = chat_completion_response_schema},
    Route{.method = "POST",
          .path = "/v1/completions",
          .summary = "Text completion (OpenAI)",
          .endpoint = completions,
          .request_schema = completion_request_schema,
          .response_schema = completion_response_schema},
    Route{.method = "POST",
          .path = "/v1/responses",
          .summary = "Model response (OpenAI)",
          .endpoint = responses,
          .request_schema = response_request_schema,
          .response_schema = response_response_schema},
    Route{.method = "POST",
          .path = "/v1/messages",
          .summary = "Create a message (Anthropic)",
          .endpoint = anthropic_messages,
          .errors = ErrorShape::kAnthropic,
          .request_schema = message_request_schema,
          .response_schema = message_response_schema},
    Route{.method = "POST",
          .path = "/v1/messages/count_tokens",
          .summary = "Count the tokens of a message request (Anthropic)",
          .endpoint = anthropic_count_tokens,
          .errors = ErrorShape::kAnthropic,
          .request_schema = count_tokens_request_schema,
          .response_schema = count_tokens_response_schema},
    Route{.method = "GET",
          .path = "/v1/models",
          .summary = "List of models: the one served",
          .endpoint = list_models,
          .response_schema = model_list_schema},
    Route{.method = "GET",
          .path = "/v1/models/{model}",
          .summary = "The model",
          .endpoint = show_model,
          .response_schema = model_schema},
    Route{.method = "POST",
          .path = "/tokenize",
          .summary = "Tokenise a text or a conversation",
          .endpoint = tokenize,
          .request_schema = tokenize_request_schema,
          .response_schema = tokenize_response_schema},
    Route{.method = "POST",
          .path = "/detokenize",
          .summary = "Text of token ids",
          .endpoint = detokenize,
          .request_schema = detokenize_request_schema,
          .response_schema = detokenize_response_schema},
    Route{.method = "POST",
          .path = "/apply-template",
          .summary = "Prompt that the chat template renders from a conversation",
          .endpoint = apply_template,
          .request_schema = apply_template_request_schema,
          .response_schema = apply_template_response_schema},
    Route{.method = "GET",
          .path = "/health",
          .summary = "Liveness: the process is up",
          .own = answer_health,
          .access = RouteAccess::kOpen},
    Route{.method = "GET",
          .path = "/ready",
          .summary = "Readiness: the model is loaded and the server accepts requests",
          .own = answer_ready,
          .access = RouteAccess::kOpen},
    Route{.method = "GET", .path = "/metrics", .summary = "Counters and timings for Prometheus", .own = answer_metrics},
    Route{.method = "GET", .path = "/openapi.json", .summary = "This description", .own = answer_openapi},
};

// The part of `path` where `pattern` has {name}; nothing if the two do not match.
std::optional<std::string> match(std::string_view pattern, std::string_view path) {
  const size_t brace = pattern.find('{');
  if (brace == std::string_view::npos) return path == pattern ? std::optional<std::string>("") : std::nullopt;
  if (!path.starts_with(pattern.substr(0, brace)) || path.size() == brace) return std::nullopt;
  return std::string(path.substr(brace));
}

// The path without doubled and trailing slashes.
std::string plain_path(std::string_view path) {
  std::string out;
  for (const char c : path) {
    if (c != '/' || !out.ends_with('/')) out += c;
  }
  while (out.size() > 1 && out.ends_with('/')) out.pop_back();
  return out;
}

constexpr std::string_view kVersion = "/v1";

std::string_view without_version(std::string_view path) {
  while (path.size() > kVersion.size() && path.starts_with(kVersion) && path[kVersion.size()] == '/') {
    path.remove_prefix(kVersion.size());
  }
  return path;
}

RouteMatch find_exactly(std::span<const Route> table, std::string_view method, std::string_view path) {
  RouteMatch found;
  for (const Route& route : table) {
    std::optional<std::string> parameter = match(route.path, path);
    if (!parameter) continue;
    if (route.method == method) return {.route = &route, .parameter = std::move(*parameter)};
    found.allowed.append(found.allowed.empty() ? "" : ", ").append(route.method);
    if (route.method == "GET") found.allowed += ", HEAD";
  }
  if (!found.allowed.empty()) found.allowed += ", OPTIONS";
  return found;
}

// Levenshtein distance.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i + 1);
    for (size_t k = 0; k < b.size(); ++k) {
      const size_t changed = diagonal + (a[i] == b[k] ? 0 : 1);
      diagonal = row[k + 1];
      row[k + 1] = std::min({changed, row[k] + 1, row[k + 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

std::span<const Route> routes() { return kRoutes; }

RouteMatch find_route(std::span<const Route> table, std::string_view method, std::string_view path) {
  const std::string plain = plain_path(path);
  const std::string bare(without_version(plain));
  for (const std::string& spelling : {plain, std::string(kVersion) + bare, bare}) {
    RouteMatch found = find_exactly(table, method, spelling);
    if (found.route != nullptr || !found.allowed.empty()) return found;
  }
  return {};
}

std::string near_path(std::span<const Route> table, std::string_view path) {
  constexpr size_t kMaxPathBytes = 256;  // longer paths get no suggestion: the work is quadratic
  const std::string plain = plain_path(path);
  if (plain.size() > kMaxPathBytes) return {};
  const std::string_view bare = without_version(plain);
  std::string_view nearest;
  size_t least = bare.size();
  for (const Route& route : table) {
    const std::string_view wanted = without_version(route.path);
    // "/api/v1/chat/completions" has the whole path in it, "/v1/chat" its beginning.
    if (plain.ends_with(wanted) || wanted.starts_with(std::string(bare) + '/')) return std::string(route.path);
    const size_t distance = edit_distance(bare, wanted);
    if (distance < least) {
      least = distance;
      nearest = route.path;
    }
  }
  return 2 * least <= bare.size() ? std::string(nearest) : std::string();
}

ErrorShape error_shape_of(std::string_view path) {
  constexpr std::string_view kMessages = "/messages";
  const std::string plain = plain_path(path);
  const std::string_view bare = without_version(plain);
  const bool anthropic =
      bare.starts_with(kMessages) && (bare.size() == kMessages.size() || bare[kMessages.size()] == '/');
  return anthropic ? ErrorShape::kAnthropic : ErrorShape::kOpenAi;
}

}  // namespace glimmer::serve

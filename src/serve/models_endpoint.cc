#include "serve/models_endpoint.h"

#include <ctime>

#include "base/quoted_name.h"
#include "serve/api_error.h"
#include "serve/served_model.h"
#include "serve/service.h"

namespace glimmer::serve {
namespace {

std::string rfc3339(int64_t unix_time) {
  const auto time = static_cast<std::time_t>(unix_time);
  std::tm utc{};
  gmtime_r(&time, &utc);
  char text[32];
  return {text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc)};
}

Json describe(const ServedModel& model) {
  return {{"id", model.id()},
          {"object", "model"},  // OpenAI
          {"created", model.created()},
          {"owned_by", "glimmer"},
          {"type", "model"},  // Anthropic
          {"display_name", model.id()},
          {"created_at", rfc3339(model.created())},
          {"lifecycle", "active"},
          {"max_input_tokens", model.max_context_tokens()},
          {"max_tokens", model.max_context_tokens()},
          {"max_model_len", model.max_context_tokens()}};  // vLLM
}

Json text_type() { return {{"type", "string"}}; }
Json integer_type() { return {{"type", "integer"}}; }

}  // namespace

void list_models(Service& service, std::shared_ptr<Exchange> exchange) {
  const std::string& id = service.model.id();
  const Json body = {{"object", "list"},
                     {"data", Json::array({describe(service.model)})},
                     {"has_more", false},
                     {"first_id", id},
                     {"last_id", id}};
  exchange->respond(200, "application/json", dump_json(body));
}

void show_model(Service& service, std::shared_ptr<Exchange> exchange) {
  const std::string& id = exchange->request().parameter;
  if (id != service.model.id()) {
    ApiError error(404, fmt::format("there is no model {}; there is {}", quoted_name(id), service.model.id()));
    error.param = "model";
    error.code = "model_not_found";
    throw error;
  }
  exchange->respond(200, "application/json", dump_json(describe(service.model)));
}

Json model_schema() {
  Json properties = Json::object();
  for (const char* name : {"id", "object", "owned_by", "type", "display_name", "created_at", "lifecycle"}) {
    properties[name] = text_type();
  }
  for (const char* name : {"created", "max_input_tokens", "max_tokens", "max_model_len"}) {
    properties[name] = integer_type();
  }
  return {{"type", "object"}, {"properties", std::move(properties)}, {"required", {"id", "object", "created"}}};
}

Json model_list_schema() {
  return {{"type", "object"},
          {"properties",
           {{"object", text_type()},
            {"data", {{"type", "array"}, {"items", model_schema()}}},
            {"has_more", {{"type", "boolean"}}},
            {"first_id", text_type()},
            {"last_id", text_type()}}},
          {"required", {"object", "data"}}};
}

}  // namespace glimmer::serve

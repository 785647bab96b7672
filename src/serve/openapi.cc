#include "serve/openapi.h"

#include "serve/http_text.h"

namespace glimmer::serve {
namespace {

Json json_content(const char* schema) {
  return {{"application/json", {{"schema", {{"$ref", std::string("#/components/schemas/") + schema}}}}}};
}

Json content_of(Json (*schema)()) {
  return {{"application/json", {{"schema", schema != nullptr ? schema() : Json::object()}}}};
}

const char* error_schema(const Route& route) {
  return route.errors == ErrorShape::kAnthropic ? "AnthropicError" : "OpenAiError";
}

// "/v1/models/{model}" of GET to "get_v1_models_model".
std::string operation_id(const Route& route) {
  std::string id = lower_case(route.method);
  for (const char c : route.path) {
    if (c == '{' || c == '}') continue;
    id += (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ? c : '_';
  }
  return id;
}

Json operation(const Route& route, bool needs_key) {
  Json out = {{"operationId", operation_id(route)}, {"summary", std::string(route.summary)}};
  const size_t brace = route.path.find('{');
  if (brace != std::string_view::npos) {
    const std::string name(route.path.substr(brace + 1, route.path.size() - brace - 2));
    out["parameters"] =
        Json::array({{{"name", name}, {"in", "path"}, {"required", true}, {"schema", {{"type", "string"}}}}});
  }
  if (route.request_schema != nullptr) {
    out["requestBody"] = {{"required", true}, {"content", content_of(route.request_schema)}};
  }
  out["responses"] = {{"200", {{"description", "The answer"}, {"content", content_of(route.response_schema)}}},
                      {"default", {{"description", "An error"}, {"content", json_content(error_schema(route))}}}};
  if (needs_key && route.access == RouteAccess::kKey) {
    out["security"] = Json::array({{{"bearer", Json::array()}}, {{"x-api-key", Json::array()}}});
  }
  return out;
}

Json error_schemas() {
  const Json text = {{"type", "string"}};
  const Json text_or_null = {{"type", {"string", "null"}}};
  return {
      {"OpenAiError",
       {{"type", "object"},
        {"properties",
         {{"error",
           {{"type", "object"},
            {"properties", {{"message", text}, {"type", text}, {"param", text_or_null}, {"code", text_or_null}}}}}}}}},
      {"AnthropicError",
       {{"type", "object"},
        {"properties",
         {{"type", {{"const", "error"}}},
          {"error", {{"type", "object"}, {"properties", {{"type", text}, {"message", text}}}}},
          {"request_id", text}}}}}};
}

}  // namespace

Json openapi(std::span<const Route> table, bool needs_key) {
  Json paths = Json::object();
  for (const Route& route : table) {
    paths[std::string(route.path)][lower_case(route.method)] = operation(route, needs_key);
  }
  return {{"openapi", "3.1.0"},
          {"info", {{"title", "Glimmer"}, {"version", "1"}}},
          {"paths", paths},
          {"components",
           {{"schemas", error_schemas()},
            {"securitySchemes",
             {{"bearer", {{"type", "http"}, {"scheme", "bearer"}}},
              {"x-api-key", {{"type", "apiKey"}, {"in", "header"}, {"name", "x-api-key"}}}}}}}};
}

}  // namespace glimmer::serve

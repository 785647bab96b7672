#include "serve/text_endpoints.h"

#include <fmt/format.h>

#include "base/utf8.h"
#include "serve/background.h"
#include "serve/schema_openai.h"
#include "serve/served_model.h"
#include "serve/service.h"

namespace glimmer {
namespace {

FieldTable chat_rows() {
  return {
      {"messages", kListField, "A conversation, as in /v1/chat/completions"},
      {"tools", kListField},
      {.name = "reasoning_effort", .choices = kReasoningEfforts},
      {"chat_template_kwargs", kObjectField, "Arguments of the chat template"},
      {"add_generation_prompt", kBooleanField, "With the beginning of the answer (default: true)"},
      {"continue_final_message", kBooleanField},
      {"model", kTextField, "Any: there is one model"},
  };
}

const FieldTable& tokenize_table() {
  static const FieldTable table = [] {
    FieldTable rows = chat_rows();
    const FieldTable more = {
        {"prompt", kTextField, "The text"},
        {"content", kTextField, "The same"},
        {"add_special_tokens", kBooleanField, "What the tokenizer puts around a text (default: true)"},
        {"add_special", kBooleanField, "The same"},
        {"parse_special", kBooleanField, "Names of special tokens are those tokens (default: true)"},
        {"return_token_strs", kBooleanField, "token_strs too"},
        {"with_pieces", kBooleanField, "tokens as objects of id and piece"},
    };
    rows.insert(rows.end(), more.begin(), more.end());
    return rows;
  }();
  return table;
}

const FieldTable& detokenize_table() {
  static const FieldTable table = {{.name = "tokens", .types = kListField, .about = "Token ids", .required = true},
                                   {"skip_special_tokens", kBooleanField, "Leave special tokens out (default: false)"},
                                   {"model", kTextField, "Any: there is one model"}};
  return table;
}

const FieldTable& apply_template_table() {
  static const FieldTable table = [] {
    FieldTable rows = chat_rows();
    rows.front().required = true;
    return rows;
  }();
  return table;
}

Chat read_chat(const Fields& body, SchemaContext& context) {
  Chat chat;
  read_chat_messages(*body.find("messages"), "messages", context, chat);
  if (const Json* tools = body.find("tools")) read_chat_tools(*tools, "tools", context, chat);
  if (const auto effort = body.text("reasoning_effort")) apply_reasoning_effort(*effort, chat);
  read_template_args(body, chat);
  chat.continues_last = body.boolean("continue_final_message", false) || !body.boolean("add_generation_prompt", true);
  return chat;
}

std::vector<int32_t> encode(const Fields& body, const ServedModel& model, SchemaContext& context) {
  if (body.has("messages")) {
    if (body.has("prompt") || body.has("content")) body.fail_at("messages", "not with a text");
    return model.prepare(read_chat(body, context)).ids;
  }
  const auto text = body.has("prompt") ? body.text("prompt") : body.text("content");
  if (!text) body.fail_at("prompt", "is missing: a text as prompt or content, or a conversation as messages");
  const bool add =
      body.has("add_special_tokens") ? body.boolean("add_special_tokens", true) : body.boolean("add_special", true);
  return model.tokenizer().encode(*text,
                                  {.add_special_tokens = add, .parse_special = body.boolean("parse_special", true)});
}

// The bytes of a token: as text where they are one, else as numbers, as llama.cpp's server does.
Json piece_json(std::string_view bytes) {
  if (is_valid_utf8(bytes)) return bytes;
  Json out = Json::array();
  for (const char byte : bytes) out.push_back(static_cast<unsigned char>(byte));
  return out;
}

Json type_json(const char* name) { return {{"type", name}}; }
Json list_json(Json items) { return {{"type", "array"}, {"items", std::move(items)}}; }

Json tokens_of(const Service& service, const std::string& text, SchemaContext& context) {
  const Json json = parse_body(text);
  const Fields body(json, "", tokenize_table(), &context.remarks);
  const std::vector<int32_t> ids = encode(body, service.model, context);
  const Tokenizer& tokenizer = service.model.tokenizer();
  Json out = {{"count", ids.size()}, {"max_model_len", service.model.max_context_tokens()}};
  if (body.boolean("with_pieces", false)) {
    out["tokens"] = Json::array();
    for (const int32_t id : ids) {
      out["tokens"].push_back({{"id", id}, {"piece", piece_json(tokenizer.token_bytes(id))}});
    }
  } else {
    out["tokens"] = ids;
  }
  if (body.boolean("return_token_strs", false)) {
    out["token_strs"] = Json::array();
    for (const int32_t id : ids) out["token_strs"].push_back(tokenizer.id_to_token(id).value_or(""));
  }
  return out;
}

Json text_of(const Service& service, const std::string& text, SchemaContext& context) {
  const Json json = parse_body(text);
  const Fields body(json, "", detokenize_table(), &context.remarks);
  std::vector<int32_t> ids = read_token_ids(*body.find("tokens"), "tokens", context);
  const std::string decoded =
      service.model.tokenizer().decode(ids, {.skip_special = body.boolean("skip_special_tokens", false)});
  return {{"prompt", decoded}, {"content", decoded}};
}

Json rendered(const Service& service, const std::string& text, SchemaContext& context) {
  const Json json = parse_body(text);
  const Fields body(json, "", apply_template_table(), &context.remarks);
  const PreparedPrompt prompt = service.model.prepare(read_chat(body, context));
  return {{"prompt", prompt.text}};
}

void answer(Service& service, std::shared_ptr<Exchange> exchange,
            Json (*answer_to)(const Service& service, const std::string& text, SchemaContext& context)) {
  run_aside(service, exchange, [&service, exchange, answer_to]() -> std::function<void()> {
    SchemaContext context{service.limits, service.model.vocab_size(), {}};
    std::string body = dump_json(answer_to(service, exchange->request().body, context));
    return [exchange, body = std::move(body), remarks = std::move(context.remarks)] {
      exchange->notes().remarks = remarks;
      exchange->respond(200, "application/json", body);
    };
  });
}

}  // namespace

void tokenize(Service& service, std::shared_ptr<Exchange> exchange) { answer(service, std::move(exchange), tokens_of); }

void detokenize(Service& service, std::shared_ptr<Exchange> exchange) { answer(service, std::move(exchange), text_of); }

void apply_template(Service& service, std::shared_ptr<Exchange> exchange) {
  answer(service, std::move(exchange), rendered);
}

Json tokenize_request_schema() { return schema_of(tokenize_table()); }
Json detokenize_request_schema() { return schema_of(detokenize_table()); }
Json apply_template_request_schema() { return schema_of(apply_template_table()); }

Json tokenize_response_schema() {
  return {{"type", "object"},
          {"properties",
           {{"count", type_json("integer")},
            {"max_model_len", type_json("integer")},
            {"tokens", list_json(Json::object())},
            {"token_strs", list_json(type_json("string"))}}},
          {"required", {"count", "max_model_len", "tokens"}}};
}

Json detokenize_response_schema() {
  return {{"type", "object"},
          {"properties", {{"prompt", type_json("string")}, {"content", type_json("string")}}},
          {"required", {"prompt", "content"}}};
}

Json apply_template_response_schema() {
  return {{"type", "object"}, {"properties", {{"prompt", type_json("string")}}}, {"required", {"prompt"}}};
}

}  // namespace glimmer

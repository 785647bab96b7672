#include "serve/text_endpoints.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/utf8.h"
#include "serve/answer_pieces.h"
#include "serve/background.h"
#include "serve/schema_openai.h"
#include "serve/served_model.h"
#include "serve/service.h"
#include "text/argument_value.h"
#include "text/stream_decoder.h"

namespace glimmer::serve {
namespace {

FieldTable chat_rows() {
  return {
      {"messages", kListField, "A conversation, as in /v1/chat/completions"},
      {"tools", kListField},
      {.name = "reasoning_effort", .choices = kReasoningEfforts},
      {"chat_template_kwargs", kObjectField, "Arguments of the chat template"},
      {"add_generation_prompt", kBooleanField, "End the prompt with the beginning of an answer (default: true)"},
      {"continue_final_message", kBooleanField},
      {"model", kTextField, "Any value: there is one model"},
  };
}

const FieldTable& tokenize_table() {
  static const FieldTable table = [] {
    FieldTable rows = chat_rows();
    const FieldTable more = {
        {"prompt", kTextField, "The text"},
        {"content", kTextField, "Alias of prompt"},
        {"add_special_tokens", kBooleanField,
         "Add the special tokens that the tokenizer puts around a text (default: true)"},
        {"add_special", kBooleanField, "Alias of add_special_tokens"},
        {"parse_special", kBooleanField, "Parse names of special tokens as those tokens (default: true)"},
        {"return_token_strs", kBooleanField, "Also return token_strs"},
        {"with_pieces", kBooleanField, "Return tokens as objects with id and piece"},
    };
    rows.insert(rows.end(), more.begin(), more.end());
    return rows;
  }();
  return table;
}

const FieldTable& detokenize_table() {
  static const FieldTable table = {{.name = "tokens", .types = kListField, .about = "Token ids", .required = true},
                                   {"skip_special_tokens", kBooleanField, "Omit special tokens (default: false)"},
                                   {"model", kTextField, "Any value: there is one model"}};
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
  read_answer_beginning(body, chat);
  return chat;
}

PreparedPrompt prepare_chat(const Fields& body, const ServedModel& model, SchemaContext& context) {
  PreparedPrompt prompt = model.prepare(read_chat(body, context));
  for (const std::string& remark : prompt.remarks) context.remark(remark);
  return prompt;
}

std::vector<int32_t> encode(const Fields& body, const ServedModel& model, SchemaContext& context) {
  if (body.has("messages")) {
    if (body.has("prompt") || body.has("content")) body.fail_at("messages", "not with a text");
    return prepare_chat(body, model, context).ids;
  }
  const auto text = body.has("prompt") ? body.text("prompt") : body.text("content");
  if (!text) body.fail_at("prompt", "is missing: a text as prompt or content, or a conversation as messages");
  const bool add =
      body.has("add_special_tokens") ? body.boolean("add_special_tokens", true) : body.boolean("add_special", true);
  return model.tokenizer().encode(*text,
                                  {.add_special_tokens = add, .parse_special = body.boolean("parse_special", true)});
}

// The bytes of a token: as a string if they are valid UTF-8, else as numbers, as in llama.cpp's server.
std::string piece_json(std::string_view bytes) {
  if (is_valid_utf8(bytes)) return json_string(bytes);
  std::string out = "[";
  for (const char byte : bytes) out += fmt::format("{}{}", out.size() > 1 ? "," : "", static_cast<unsigned char>(byte));
  return out + "]";
}

using TokenIds = std::shared_ptr<const std::vector<int32_t>>;

// A list with what `write` makes of each token.
template <typename Write>
NextPiece token_list(TokenIds ids, Write write) {
  constexpr size_t kTokensAtOnce = 256;
  return [ids = std::move(ids), write, at = size_t{0}](std::string& out) mutable {
    if (at == 0) out += '[';
    for (const size_t end = std::min(ids->size(), at + kTokensAtOnce); at < end; ++at) {
      if (at > 0) out += ',';
      write((*ids)[at], out);
    }
    if (at == ids->size()) out += ']';
    return at < ids->size();
  };
}

// The text of tokens, as a JSON string without its quotes.
NextPiece decoded_pieces(const Tokenizer& tokenizer, TokenIds ids, DecodeOptions options) {
  constexpr size_t kTokensAtOnce = 256;
  const auto decoder = std::make_shared<StreamDecoder>(tokenizer, options);
  return [ids = std::move(ids), decoder, at = size_t{0}](std::string& out) mutable {
    std::string text;
    for (const size_t end = std::min(ids->size(), at + kTokensAtOnce); at < end; ++at)
      text += decoder->push((*ids)[at]);
    if (at == ids->size()) text += decoder->flush();
    const std::string quoted = json_string(text);
    out.append(quoted, 1, quoted.size() - 2);
    return at < ids->size();
  };
}

Json type_json(const char* name) { return {{"type", name}}; }
Json list_json(Json items) { return {{"type", "array"}, {"items", std::move(items)}}; }

NextPiece tokens_of(const Service& service, const std::string& text, SchemaContext& context) {
  const Json json = parse_body(text, context);
  const Fields body(json, "", tokenize_table(), &context.remarks);
  const Tokenizer& tokenizer = service.model.tokenizer();
  const auto ids = std::make_shared<const std::vector<int32_t>>(encode(body, service.model, context));
  std::vector<NextPiece> parts = {json_piece(
      fmt::format("{{\"count\":{},\"max_model_len\":{},\"tokens\":", ids->size(), service.model.max_context_tokens()))};
  const bool with_pieces = body.boolean("with_pieces", false);
  parts.push_back(token_list(ids, [&tokenizer, with_pieces](int32_t id, std::string& out) {
    if (with_pieces) {
      out += fmt::format("{{\"id\":{},\"piece\":{}}}", id, piece_json(tokenizer.token_bytes(id)));
    } else {
      out += fmt::format("{}", id);
    }
  }));
  if (body.boolean("return_token_strs", false)) {
    parts.push_back(json_piece(",\"token_strs\":"));
    parts.push_back(token_list(ids, [&tokenizer](int32_t id, std::string& out) {
      out += json_string(tokenizer.id_to_token(id).value_or(""));
    }));
  }
  parts.push_back(json_piece("}"));
  return in_order(std::move(parts));
}

NextPiece text_of(const Service& service, const std::string& text, SchemaContext& context) {
  const Json json = parse_body(text, context);
  const Fields body(json, "", detokenize_table(), &context.remarks);
  const auto ids =
      std::make_shared<const std::vector<int32_t>>(read_token_ids(*body.find("tokens"), "tokens", context));
  const DecodeOptions options{.skip_special = body.boolean("skip_special_tokens", false)};
  const Tokenizer& tokenizer = service.model.tokenizer();
  return in_order({json_piece("{\"prompt\":\""), decoded_pieces(tokenizer, ids, options),
                   json_piece("\",\"content\":\""), decoded_pieces(tokenizer, ids, options), json_piece("\"}")});
}

NextPiece rendered(const Service& service, const std::string& text, SchemaContext& context) {
  const Json json = parse_body(text, context);
  const Fields body(json, "", apply_template_table(), &context.remarks);
  PreparedPrompt prompt = prepare_chat(body, service.model, context);
  return in_order({json_piece("{\"prompt\":\""),
                   string_pieces(std::make_shared<const std::string>(std::move(prompt.text))), json_piece("\"}")});
}

void answer(Service& service, std::shared_ptr<Exchange> exchange,
            NextPiece (*answer_to)(const Service& service, const std::string& text, SchemaContext& context)) {
  run_aside(service, exchange, [&service, exchange, answer_to]() -> std::function<void()> {
    SchemaContext context{service.limits, service.model.vocab_size(), {}};
    NextPiece next = answer_to(service, exchange->request().body, context);
    exchange->request().drop_body();
    return [exchange, next = std::move(next), remarks = std::move(context.remarks)] {
      exchange->notes().remarks = remarks;
      respond_in_pieces(exchange, next);
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

}  // namespace glimmer::serve

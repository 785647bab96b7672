#include "serve/anthropic_messages.h"

#include "base/error.h"
#include "base/json_numbers.h"
#include "serve/background.h"
#include "serve/generation.h"
#include "serve/schema_anthropic.h"
#include "serve/service.h"
#include "serve/sse.h"

namespace glimmer::serve {
namespace {

// Clients send a thinking block back with its signature, and drop one without. This constant is never checked.
constexpr std::string_view kSignature = "glimmer";

Json stop_reason(const AnswerFinish& finish) {
  switch (finish.end) {
    case AnswerEnd::kStop:
      return "end_turn";
    case AnswerEnd::kStopString:
      return "stop_sequence";
    case AnswerEnd::kToolCalls:
      return "tool_use";
    case AnswerEnd::kLength:
      return "max_tokens";
    case AnswerEnd::kContextFull:
      return "model_context_window_exceeded";
  }
  return nullptr;
}

Json stop_sequence(const AnswerFinish& finish) {
  return finish.end == AnswerEnd::kStopString ? Json(finish.stop_string) : Json(nullptr);
}

// input_tokens are those that were not found in the cache.
Json usage_json(const AnswerUsage& usage) {
  return {{"input_tokens", usage.prompt_tokens - usage.cached_tokens},
          {"cache_creation_input_tokens", 0},
          {"cache_read_input_tokens", usage.cached_tokens},
          {"output_tokens", usage.completion_tokens},
          {"output_tokens_details", {{"thinking_tokens", usage.reasoning_tokens}}}};
}

Json message_head(const AnswerIdentity& identity) {
  return {{"id", identity.id},        {"type", "message"},      {"role", "assistant"},     {"model", identity.model},
          {"content", Json::array()}, {"stop_reason", nullptr}, {"stop_sequence", nullptr}};
}

class MessageStream : public EventWriter {
 public:
  MessageStream(AnswerIdentity identity, const MessageFormatOptions& options)
      : identity_(std::move(identity)), options_(options) {}

  void begin(const AnswerUsage& usage, std::string& out) override {
    Json message = message_head(identity_);
    message["usage"] = usage_json(usage);
    event("message_start", {{"message", std::move(message)}}, out);
    out += kAnthropicPing;
  }

  void delta(int64_t, const AnswerDelta& delta, std::string& out) override {
    switch (delta.kind) {
      case DeltaKind::kContent:
        open(delta.kind, {{"type", "text"}, {"text", ""}}, out);
        block_delta({{"type", "text_delta"}, {"text", delta.text}}, out);
        break;
      case DeltaKind::kReasoning:
        open(delta.kind, {{"type", "thinking"}, {"thinking", ""}, {"signature", ""}}, out);
        if (!options_.omit_thinking) block_delta({{"type", "thinking_delta"}, {"thinking", delta.text}}, out);
        break;
      case DeltaKind::kToolCallBegin:
        close(out);
        open(delta.kind, {{"type", "tool_use"}, {"id", delta.call_id}, {"name", delta.text}, {"input", Json::object()}},
             out);
        break;
      case DeltaKind::kToolCallArguments:
        block_delta({{"type", "input_json_delta"}, {"partial_json", delta.text}}, out);
        break;
      case DeltaKind::kToolCallEnd:
        close(out);
        break;
      case DeltaKind::kDiagnostic:
        break;
    }
  }

  void finish(int64_t, const AnswerFinish& finish, std::string& out) override {
    close(out);
    finish_ = finish;
  }

  void end(const AnswerUsage& usage, std::string& out) override {
    event("message_delta",
          {{"delta", {{"stop_reason", stop_reason(finish_)}, {"stop_sequence", stop_sequence(finish_)}}},
           {"usage", usage_json(usage)}},
          out);
    event("message_stop", Json::object(), out);
  }

  void error(const ApiError& error, std::string& out) override {
    append_sse(out, "error", error_body(ErrorShape::kAnthropic, error, ""));
  }

 private:
  static void event(std::string_view name, Json fields, std::string& out) {
    Json json = {{"type", name}};
    json.update(fields);
    append_sse(out, name, dump_json(json));
  }

  void block_delta(Json delta, std::string& out) const {
    event("content_block_delta", {{"index", block_}, {"delta", std::move(delta)}}, out);
  }

  void open(DeltaKind kind, Json block, std::string& out) {
    if (open_ && kind_ == kind) return;
    close(out);
    open_ = true;
    kind_ = kind;
    event("content_block_start", {{"index", block_}, {"content_block", std::move(block)}}, out);
  }

  void close(std::string& out) {
    if (!open_) return;
    if (kind_ == DeltaKind::kReasoning) block_delta({{"type", "signature_delta"}, {"signature", kSignature}}, out);
    event("content_block_stop", {{"index", block_}}, out);
    open_ = false;
    ++block_;
  }

  AnswerIdentity identity_;
  MessageFormatOptions options_;
  bool open_ = false;
  DeltaKind kind_ = DeltaKind::kContent;
  int64_t block_ = 0;
  AnswerFinish finish_;
};

// The arguments of a call, possibly truncated.
Json input_json(const AnswerPart& part) {
  try {
    Json input = parse_exact_json(part.text + part.missing, "arguments");
    if (input.is_object()) return input;
  } catch (const Error&) {  // as below
  }
  return Json::object();
}

Json block_json(const AnswerPart& part, const MessageFormatOptions& options) {
  if (part.kind == DeltaKind::kReasoning) {
    return {{"type", "thinking"}, {"thinking", options.omit_thinking ? "" : part.text}, {"signature", kSignature}};
  }
  if (part.kind == DeltaKind::kToolCallBegin) {
    return {{"type", "tool_use"}, {"id", part.call_id}, {"name", part.name}, {"input", input_json(part)}};
  }
  return {{"type", "text"}, {"text", part.text}};
}

ReadRequest read_request(const Service& service, const std::string& text) {
  SchemaContext context{service.limits, service.model.vocab_size(), {}};
  MessageJob read = read_message_request(parse_body(text, context), context);
  GenerationJob& job = read.job;
  job.unknown_fields = std::move(context.remarks);
  job.json_values = context.values;
  const AnswerIdentity identity = new_identity("msg_", service.model.id());
  const MessageFormatOptions options{.omit_thinking = read.omit_thinking};
  AnswerFormat format;
  format.errors = ErrorShape::kAnthropic;
  format.call_id_prefix = "toolu_";
  format.heartbeat = kAnthropicPing;
  if (job.stream) format.stream = message_stream(identity, options);
  format.object = [identity, options](const std::vector<Answer>& answers, const AnswerUsage& usage) {
    return message_object(identity, options, answers.front(), usage);
  };
  return {std::move(job), std::move(format)};
}

}  // namespace

const std::string_view kAnthropicPing = "event: ping\ndata: {\"type\":\"ping\"}\n\n";

std::unique_ptr<EventWriter> message_stream(const AnswerIdentity& identity, const MessageFormatOptions& options) {
  return std::make_unique<MessageStream>(identity, options);
}

Json message_object(const AnswerIdentity& identity, const MessageFormatOptions& options, const Answer& answer,
                    const AnswerUsage& usage) {
  Json message = message_head(identity);
  for (const AnswerPart& part : answer.parts) message["content"].push_back(block_json(part, options));
  message["stop_reason"] = stop_reason(answer.finish);
  message["stop_sequence"] = stop_sequence(answer.finish);
  message["usage"] = usage_json(usage);
  return message;
}

void anthropic_messages(Service& service, std::shared_ptr<Exchange> exchange) {
  answer_by_generation(service, std::move(exchange), read_request);
}

void anthropic_count_tokens(Service& service, std::shared_ptr<Exchange> exchange) {
  run_aside(service, exchange, [&service, exchange]() -> std::function<void()> {
    SchemaContext context{service.limits, service.model.vocab_size(), {}};
    const Chat chat = read_count_tokens(parse_body(exchange->request().body, context), context);
    exchange->request().drop_body();
    const PreparedPrompt prompt = service.model.prepare(chat);
    const size_t tokens = prompt.ids.size();
    for (const std::string& remark : prompt.remarks) context.remark(remark);
    return [exchange, tokens, remarks = std::move(context.remarks)] {
      exchange->notes().remarks = remarks;
      exchange->notes().prompt_tokens = static_cast<int64_t>(tokens);
      exchange->respond(200, "application/json", dump_json({{"input_tokens", tokens}}));
    };
  });
}

Json message_request_schema() { return schema_of(message_request_table()); }
Json count_tokens_request_schema() { return schema_of(count_tokens_table()); }

Json message_response_schema() {
  return answer_schema({{"id", "string"},
                        {"type", "string"},
                        {"role", "string"},
                        {"model", "string"},
                        {"content", "array"},
                        {"stop_reason", {"string", "null"}},
                        {"stop_sequence", {"string", "null"}},
                        {"usage", "object"}});
}

Json count_tokens_response_schema() { return answer_schema({{"input_tokens", "integer"}}); }

}  // namespace glimmer::serve

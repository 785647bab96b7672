#include "serve/openai_chat.h"

#include "serve/generation.h"
#include "serve/schema_openai.h"
#include "serve/service.h"
#include "serve/sse.h"

namespace glimmer::serve {
namespace {

Json logprobs_json(const ChatFormatOptions& options, const std::vector<TokenRecord>& records) {
  if (!options.logprobs) return nullptr;
  return {{"content", openai_logprobs(records)}, {"refusal", nullptr}};
}

class ChatStream : public EventWriter {
 public:
  ChatStream(AnswerIdentity identity, const ChatFormatOptions& options)
      : identity_(std::move(identity)), options_(options) {}

  void begin(const AnswerUsage&, std::string& out) override {
    for (int64_t i = 0; i < options_.answers; ++i) {
      chunk(choice(i, {{"role", "assistant"}, {"content", ""}}), out);
    }
  }

  void delta(int64_t index, const AnswerDelta& delta, std::string& out) override {
    Json message = Json::object();
    switch (delta.kind) {
      case DeltaKind::kContent:
        message["content"] = delta.text;
        break;
      case DeltaKind::kReasoning:
        message["reasoning_content"] = delta.text;
        break;
      case DeltaKind::kToolCallBegin:
        message["tool_calls"] = Json::array({{{"index", delta.call},
                                              {"id", delta.call_id},
                                              {"type", "function"},
                                              {"function", {{"name", delta.text}, {"arguments", ""}}}}});
        break;
      case DeltaKind::kToolCallArguments:
        message["tool_calls"] = Json::array({{{"index", delta.call}, {"function", {{"arguments", delta.text}}}}});
        break;
      case DeltaKind::kToolCallEnd:
      case DeltaKind::kDiagnostic:
        return;
    }
    Json entry = choice(index, std::move(message));
    if (delta.kind == DeltaKind::kContent) entry["logprobs"] = logprobs_json(options_, delta.logprobs);
    chunk(std::move(entry), out);
  }

  void finish(int64_t index, const AnswerFinish& finish, std::string& out) override {
    Json entry = choice(index, Json::object());
    entry["finish_reason"] = openai_finish_reason(finish);
    chunk(std::move(entry), out);
  }

  void end(const AnswerUsage& usage, std::string& out) override {
    if (options_.include_usage) {
      Json last = head();
      last["choices"] = Json::array();
      last["usage"] = openai_usage(usage);
      append_sse(out, "", dump_json(last));
    }
    append_sse(out, "", "[DONE]");
  }

  void error(const ApiError& error, std::string& out) override {
    append_sse(out, "", error_body(ErrorShape::kOpenAi, error, ""));
  }

 private:
  Json head() const {
    return {{"id", identity_.id},
            {"object", "chat.completion.chunk"},
            {"created", identity_.created},
            {"model", identity_.model}};
  }

  static Json choice(int64_t index, Json delta) {
    return {{"index", index}, {"delta", std::move(delta)}, {"logprobs", nullptr}, {"finish_reason", nullptr}};
  }

  void chunk(Json entry, std::string& out) const {
    Json json = head();
    json["choices"] = Json::array({std::move(entry)});
    if (options_.include_usage) json["usage"] = nullptr;
    append_sse(out, "", dump_json(json));
  }

  AnswerIdentity identity_;
  ChatFormatOptions options_;
};

Json message_json(const Answer& answer) {
  Json message = {{"role", "assistant"}, {"content", nullptr}};
  Json calls = Json::array();
  bool has_content = false;
  for (const AnswerPart& part : answer.parts) {
    has_content |= part.kind == DeltaKind::kContent;
    if (part.kind != DeltaKind::kToolCallBegin) continue;
    calls.push_back(
        {{"id", part.call_id}, {"type", "function"}, {"function", {{"name", part.name}, {"arguments", part.text}}}});
  }
  if (has_content || calls.empty()) message["content"] = answer.text(DeltaKind::kContent);
  if (std::string reasoning = answer.text(DeltaKind::kReasoning); !reasoning.empty()) {
    message["reasoning_content"] = std::move(reasoning);
  }
  message["refusal"] = nullptr;
  if (!calls.empty()) message["tool_calls"] = std::move(calls);
  return message;
}

ReadRequest read_request(const Service& service, const std::string& text) {
  SchemaContext context{service.limits, service.model.vocab_size(), {}};
  GenerationJob job = read_chat_completion(parse_body(text, context), context);
  job.unknown_fields = std::move(context.remarks);
  job.json_values = context.values;
  const AnswerIdentity identity = new_identity("chatcmpl-", service.model.id());
  const ChatFormatOptions options{
      .answers = job.n, .include_usage = job.include_usage, .logprobs = job.top_logprobs >= 0};
  AnswerFormat format;
  format.heartbeat = kSseComment;
  if (job.stream) format.stream = chat_stream(identity, options);
  format.object = [identity, options](const std::vector<Answer>& answers, const AnswerUsage& usage) {
    return chat_object(identity, options, answers, usage);
  };
  return {std::move(job), std::move(format)};
}

}  // namespace

std::unique_ptr<EventWriter> chat_stream(const AnswerIdentity& identity, const ChatFormatOptions& options) {
  return std::make_unique<ChatStream>(identity, options);
}

Json chat_object(const AnswerIdentity& identity, const ChatFormatOptions& options, const std::vector<Answer>& answers,
                 const AnswerUsage& usage) {
  Json choices = Json::array();
  for (size_t i = 0; i < answers.size(); ++i) {
    choices.push_back({{"index", i},
                       {"message", message_json(answers[i])},
                       {"logprobs", logprobs_json(options, answers[i].logprobs())},
                       {"finish_reason", openai_finish_reason(answers[i].finish)}});
  }
  return {{"id", identity.id},       {"object", "chat.completion"}, {"created", identity.created},
          {"model", identity.model}, {"choices", choices},          {"usage", openai_usage(usage)}};
}

void chat_completions(Service& service, std::shared_ptr<Exchange> exchange) {
  answer_by_generation(service, std::move(exchange), read_request);
}

Json chat_completion_request_schema() { return schema_of(chat_completion_table()); }

Json chat_completion_response_schema() {
  return answer_schema({{"id", "string"},
                        {"object", "string"},
                        {"created", "integer"},
                        {"model", "string"},
                        {"choices", "array"},
                        {"usage", "object"}});
}

}  // namespace glimmer::serve

#include "serve/openai_responses.h"

#include "serve/generation.h"
#include "serve/schema_responses.h"
#include "serve/served_model.h"
#include "serve/service.h"
#include "serve/sse.h"
#include "session/random_id.h"

namespace glimmer::serve {
namespace {

Json usage_json(const AnswerUsage& usage) {
  return {{"input_tokens", usage.prompt_tokens},
          {"input_tokens_details", {{"cached_tokens", usage.cached_tokens}, {"cache_write_tokens", 0}}},
          {"output_tokens", usage.completion_tokens},
          {"output_tokens_details", {{"reasoning_tokens", usage.reasoning_tokens}}},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens}};
}

bool is_whole(const AnswerFinish& finish) {
  return finish.end != AnswerEnd::kLength && finish.end != AnswerEnd::kContextFull;
}

// The part of an item that its text stands in.
Json text_part(const AnswerPart& part, const ResponseFormatOptions& options) {
  if (part.kind == DeltaKind::kReasoning) return {{"type", "reasoning_text"}, {"text", part.text}};
  Json out = {{"type", "output_text"}, {"text", part.text}, {"annotations", Json::array()}};
  out["logprobs"] = options.logprobs ? openai_logprobs(part.logprobs) : Json::array();
  return out;
}

std::string_view item_prefix(DeltaKind kind) {
  switch (kind) {
    case DeltaKind::kReasoning:
      return "rs_";
    case DeltaKind::kToolCallBegin:
      return "fc_";
    default:
      return "msg_";
  }
}

// A call as the request declared its function: one of a namespace has two names.
Json call_json(const std::string& id, const AnswerPart& part, const char* status,
               const ResponseFormatOptions& options) {
  Json out = {{"id", id},          {"type", "function_call"}, {"call_id", part.call_id},
              {"name", part.name}, {"arguments", part.text},  {"status", status}};
  if (const auto found = options.namespaced.find(part.name); found != options.namespaced.end()) {
    out["name"] = found->second.name;
    out["namespace"] = found->second.name_space;
  }
  return out;
}

// "content" is left empty while an item has only begun.
Json item_json(const std::string& id, const AnswerPart& part, const char* status, Json content,
               const ResponseFormatOptions& options) {
  switch (part.kind) {
    case DeltaKind::kReasoning:
      return {{"id", id},
              {"type", "reasoning"},
              {"summary", Json::array()},
              {"content", std::move(content)},
              {"status", status}};
    case DeltaKind::kToolCallBegin:
      return call_json(id, part, status, options);
    default:
      return {
          {"id", id}, {"type", "message"}, {"role", "assistant"}, {"content", std::move(content)}, {"status", status}};
  }
}

Json whole_item(const std::string& id, const AnswerPart& part, bool whole, const ResponseFormatOptions& options) {
  return item_json(id, part, whole ? "completed" : "incomplete", Json::array({text_part(part, options)}), options);
}

Json response_head(const AnswerIdentity& identity, const ResponseFormatOptions& options, const char* status) {
  Json out = {{"id", identity.id},
              {"object", "response"},
              {"created_at", identity.created},
              {"status", status},
              {"background", false},
              {"error", nullptr},
              {"incomplete_details", nullptr},
              {"instructions", nullptr},
              {"model", identity.model},
              {"output", Json::array()},
              {"previous_response_id", nullptr},
              {"store", false},
              {"temperature", nullptr},
              {"top_p", nullptr},
              {"truncation", "disabled"},
              {"metadata", Json::object()},
              {"usage", nullptr}};
  out.update(options.echo);
  return out;
}

void set_finish(Json& response, const AnswerFinish& finish, const AnswerUsage& usage) {
  const bool whole = is_whole(finish);
  response["status"] = whole ? "completed" : "incomplete";
  if (!whole) response["incomplete_details"] = {{"reason", "max_output_tokens"}};
  response["usage"] = usage_json(usage);
}

class ResponseStream : public EventWriter {
 public:
  ResponseStream(AnswerIdentity identity, ResponseFormatOptions options)
      : identity_(std::move(identity)), options_(std::move(options)) {}

  void begin(const AnswerUsage&, std::string& out) override {
    const Json response = response_head(identity_, options_, "in_progress");
    event("response.created", {{"response", response}}, out);
    event("response.in_progress", {{"response", response}}, out);
  }

  void delta(int64_t, const AnswerDelta& delta, std::string& out) override {
    switch (delta.kind) {
      case DeltaKind::kContent:
      case DeltaKind::kReasoning:
        if (!open_ || part_.kind != delta.kind) {
          close(out, true);
          open(delta, out);
        }
        part_.text += delta.text;
        part_.logprobs.insert(part_.logprobs.end(), delta.logprobs.begin(), delta.logprobs.end());
        text_delta(delta, out);
        break;
      case DeltaKind::kToolCallBegin:
        close(out, true);
        open(delta, out);
        break;
      case DeltaKind::kToolCallArguments:
        part_.text += delta.text;
        event("response.function_call_arguments.delta", with_item({{"delta", delta.text}}), out);
        break;
      case DeltaKind::kToolCallEnd:
        close(out, delta.text.empty());
        break;
      case DeltaKind::kDiagnostic:
        break;
    }
  }

  void finish(int64_t, const AnswerFinish& finish, std::string& out) override {
    close(out, is_whole(finish));
    finish_ = finish;
  }

  void end(const AnswerUsage& usage, std::string& out) override {
    Json response = response_head(identity_, options_, "completed");
    set_finish(response, finish_, usage);
    response["output"] = output_;
    event(is_whole(finish_) ? "response.completed" : "response.incomplete", {{"response", response}}, out);
  }

  void error(const ApiError& error, std::string& out) override {
    Json response = response_head(identity_, options_, "failed");
    response["output"] = output_;
    response["error"] = {{"code", "server_error"}, {"message", error.what()}};
    event("response.failed", {{"response", response}}, out);
  }

 private:
  void event(std::string_view name, Json fields, std::string& out) {
    Json json = {{"type", name}, {"sequence_number", sequence_number_++}};
    json.update(fields);
    append_sse(out, name, dump_json(json));
  }

  Json with_item(Json fields) const {
    Json out = {{"item_id", item_id_}, {"output_index", output_.size()}};
    if (part_.kind != DeltaKind::kToolCallBegin) out["content_index"] = 0;
    out.update(fields);
    return out;
  }

  void open(const AnswerDelta& delta, std::string& out) {
    open_ = true;
    part_ = {};
    part_.kind = delta.kind;
    if (delta.kind == DeltaKind::kToolCallBegin) {
      part_.call_id = delta.call_id;
      part_.name = delta.text;
    }
    item_id_ = options_.new_id(item_prefix(delta.kind));
    event("response.output_item.added",
          {{"output_index", output_.size()},
           {"item", item_json(item_id_, part_, "in_progress", Json::array(), options_)}},
          out);
    if (delta.kind == DeltaKind::kToolCallBegin) return;
    event("response.content_part.added", with_item({{"part", text_part(part_, options_)}}), out);
  }

  void text_delta(const AnswerDelta& delta, std::string& out) {
    Json fields = {{"delta", delta.text}};
    if (delta.kind == DeltaKind::kReasoning) {
      event("response.reasoning_text.delta", with_item(std::move(fields)), out);
    } else {
      fields["logprobs"] = options_.logprobs ? openai_logprobs(delta.logprobs) : Json::array();
      event("response.output_text.delta", with_item(std::move(fields)), out);
    }
  }

  void close(std::string& out, bool whole) {
    if (!open_) return;
    open_ = false;
    if (part_.kind == DeltaKind::kToolCallBegin) {
      const Json name = call_json(item_id_, part_, "completed", options_)["name"];
      event("response.function_call_arguments.done", with_item({{"name", name}, {"arguments", part_.text}}), out);
    } else {
      Json fields = {{"text", part_.text}};
      if (part_.kind == DeltaKind::kContent) fields["logprobs"] = text_part(part_, options_)["logprobs"];
      event(part_.kind == DeltaKind::kReasoning ? "response.reasoning_text.done" : "response.output_text.done",
            with_item(std::move(fields)), out);
      event("response.content_part.done", with_item({{"part", text_part(part_, options_)}}), out);
    }
    Json item = whole_item(item_id_, part_, whole, options_);
    event("response.output_item.done", {{"output_index", output_.size()}, {"item", item}}, out);
    output_.push_back(std::move(item));
  }

  AnswerIdentity identity_;
  ResponseFormatOptions options_;
  int64_t sequence_number_ = 0;
  Json output_ = Json::array();  // items that are done
  bool open_ = false;            // an item is not done
  AnswerPart part_;              // of the open item
  std::string item_id_;
  AnswerFinish finish_;
};

// Lists in the answer's metadata which parts of the request the model did not see; OpenAI limits values to 512 bytes.
void tell_left_out(const std::vector<std::string>& paths, Json& echo) {
  constexpr size_t kMaxBytes = 512;
  constexpr std::string_view kMore = ", ...";
  if (paths.empty()) return;
  std::string text;
  for (const std::string& path : paths) {
    const std::string next = text.empty() ? path : ", " + path;
    if (text.size() + next.size() + kMore.size() > kMaxBytes) {
      text += kMore;
      break;
    }
    text += next;
  }
  if (!echo.contains("metadata")) echo["metadata"] = Json::object();
  echo["metadata"]["left_out"] = text;
}

ReadRequest read_request(const Service& service, const std::string& text) {
  SchemaContext context{service.limits, service.model.vocab_size(), {}};
  ResponseJob read = read_response(parse_body(text, context), context);
  GenerationJob& job = read.job;
  job.unknown_fields = std::move(context.remarks);
  job.json_values = context.values;
  const AnswerIdentity identity = new_identity("resp_", service.model.id());
  tell_left_out(context.left_out, read.echo);
  const ResponseFormatOptions options{.echo = std::move(read.echo),
                                      .namespaced = std::move(read.namespaced),
                                      .logprobs = job.top_logprobs >= 0,
                                      .new_id = random_id};
  AnswerFormat format;
  // The API has no ping event, so a comment is the keep-alive.
  format.heartbeat = kSseComment;
  if (job.stream) format.stream = response_stream(identity, options);
  format.object = [identity, options](const std::vector<Answer>& answers, const AnswerUsage& usage) {
    return response_object(identity, options, answers.front(), usage);
  };
  return {std::move(job), std::move(format)};
}

}  // namespace

std::unique_ptr<EventWriter> response_stream(const AnswerIdentity& identity, const ResponseFormatOptions& options) {
  return std::make_unique<ResponseStream>(identity, options);
}

Json response_object(const AnswerIdentity& identity, const ResponseFormatOptions& options, const Answer& answer,
                     const AnswerUsage& usage) {
  Json response = response_head(identity, options, "completed");
  for (size_t i = 0; i < answer.parts.size(); ++i) {
    const AnswerPart& part = answer.parts[i];
    const bool last = i + 1 == answer.parts.size();
    const bool whole = part.kind == DeltaKind::kToolCallBegin ? part.missing.empty() : !last || is_whole(answer.finish);
    response["output"].push_back(whole_item(options.new_id(item_prefix(part.kind)), part, whole, options));
  }
  set_finish(response, answer.finish, usage);
  return response;
}

void responses(Service& service, std::shared_ptr<Exchange> exchange) {
  answer_by_generation(service, std::move(exchange), read_request);
}

Json response_request_schema() { return schema_of(response_table()); }

Json response_response_schema() {
  return answer_schema({{"id", "string"},
                        {"object", "string"},
                        {"created_at", "integer"},
                        {"status", "string"},
                        {"model", "string"},
                        {"output", "array"},
                        {"usage", "object"}});
}

}  // namespace glimmer::serve

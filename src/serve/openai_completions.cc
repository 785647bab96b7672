#include "serve/openai_completions.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/utf8.h"
#include "serve/generation.h"
#include "serve/schema_openai.h"
#include "serve/service.h"
#include "serve/sse.h"

namespace glimmer::serve {
namespace {

// A unique name for a token, as a key of the map: bytes that are no character are spelt as OpenAI does.
std::string token_key(const TokenChoice& token) {
  if (is_valid_utf8(token.bytes)) return token.bytes;
  std::string out = "bytes:";
  for (const char byte : token.bytes) out += fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
  return out;
}

// Offsets of tokens in the text, in characters; a token that begins within a character has that character's offset.
class TextOffset {
 public:
  explicit TextOffset(std::string_view text_before = {}) { add(text_before); }

  // Of the next token.
  int64_t take(const TokenRecord& record) {
    if (!record.in_text) return characters_;
    const bool within = !record.token.bytes.empty() && is_continuation(record.token.bytes.front());
    const int64_t offset = within ? std::max<int64_t>(characters_ - 1, 0) : characters_;
    add(record.token.bytes);
    return offset;
  }

 private:
  static bool is_continuation(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }
  void add(std::string_view bytes) {
    characters_ += std::count_if(bytes.begin(), bytes.end(), [](char byte) { return !is_continuation(byte); });
  }

  int64_t characters_ = 0;
};

Json logprobs_json(const CompletionFormatOptions& options, const std::vector<TokenRecord>& records,
                   TextOffset& offset) {
  if (!options.logprobs) return nullptr;
  Json out = {{"tokens", Json::array()},
              {"token_logprobs", Json::array()},
              {"top_logprobs", Json::array()},
              {"text_offset", Json::array()}};
  for (const TokenRecord& record : records) {
    out["tokens"].push_back(token_key(record.token));
    out["text_offset"].push_back(offset.take(record));
    if (!record.predicted) {
      out["token_logprobs"].push_back(nullptr);
      out["top_logprobs"].push_back(nullptr);
      continue;
    }
    out["token_logprobs"].push_back(record.token.logprob);
    Json top = Json::object();
    for (const TokenChoice& token : record.top) top[token_key(token)] = token.logprob;
    out["top_logprobs"].push_back(std::move(top));
  }
  return out;
}

std::string echo_of(const CompletionFormatOptions& options, size_t index) {
  return index < options.echoes.size() ? options.echoes[index] : std::string();
}

class CompletionStream : public EventWriter {
 public:
  CompletionStream(AnswerIdentity identity, CompletionFormatOptions options)
      : identity_(std::move(identity)), options_(std::move(options)) {}

  void begin(const AnswerUsage&, std::string& out) override {
    for (size_t i = 0; i < options_.echoes.size(); ++i) {
      if (!options_.echoes[i].empty()) chunk(choice(static_cast<int64_t>(i), options_.echoes[i]), out);
    }
  }

  void delta(int64_t index, const AnswerDelta& delta, std::string& out) override {
    if (delta.kind != DeltaKind::kContent) return;
    Json entry = choice(index, delta.text);
    entry["logprobs"] = logprobs_json(options_, delta.logprobs, offset(index));
    chunk(std::move(entry), out);
  }

  void finish(int64_t index, const AnswerFinish& finish, std::string& out) override {
    Json entry = choice(index, "");
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
            {"object", "text_completion"},
            {"created", identity_.created},
            {"model", identity_.model}};
  }

  static Json choice(int64_t index, const std::string& text) {
    return {{"index", index}, {"text", text}, {"logprobs", nullptr}, {"finish_reason", nullptr}};
  }

  TextOffset& offset(int64_t index) {
    const auto at = static_cast<size_t>(index);
    while (offsets_.size() <= at) offsets_.emplace_back(echo_of(options_, offsets_.size()));
    return offsets_[at];
  }

  void chunk(Json entry, std::string& out) const {
    Json json = head();
    json["choices"] = Json::array({std::move(entry)});
    if (options_.include_usage) json["usage"] = nullptr;
    append_sse(out, "", dump_json(json));
  }

  AnswerIdentity identity_;
  CompletionFormatOptions options_;
  std::vector<TextOffset> offsets_;
};

ReadRequest read_request(const Service& service, const std::string& text) {
  SchemaContext context{service.limits, service.model.vocab_size(), {}};
  GenerationJob job = read_completion(parse_body(text, context), context);
  job.unknown_fields = std::move(context.remarks);
  job.json_values = context.values;
  const AnswerIdentity identity = new_identity("cmpl-", service.model.id());
  CompletionFormatOptions options;
  options.include_usage = job.include_usage;
  options.logprobs = job.top_logprobs >= 0;
  if (job.echo && !options.logprobs) {  // else it comes with its logprobs, as the first piece of the answer
    for (const RawPrompt& prompt : std::get<std::vector<RawPrompt>>(job.input)) {
      const auto* written = std::get_if<std::string>(&prompt);
      const std::string echo =
          written != nullptr ? *written : service.model.tokenizer().decode(std::get<std::vector<int32_t>>(prompt));
      for (int64_t i = 0; i < job.n; ++i) options.echoes.push_back(echo);
    }
  }
  AnswerFormat format;
  format.reads_output = false;
  format.heartbeat = kSseComment;
  if (job.stream) format.stream = completion_stream(identity, options);
  format.object = [identity, options](const std::vector<Answer>& answers, const AnswerUsage& usage) {
    return completion_object(identity, options, answers, usage);
  };
  return {std::move(job), std::move(format)};
}

}  // namespace

std::unique_ptr<EventWriter> completion_stream(const AnswerIdentity& identity, const CompletionFormatOptions& options) {
  return std::make_unique<CompletionStream>(identity, options);
}

Json completion_object(const AnswerIdentity& identity, const CompletionFormatOptions& options,
                       const std::vector<Answer>& answers, const AnswerUsage& usage) {
  Json choices = Json::array();
  for (size_t i = 0; i < answers.size(); ++i) {
    const std::string echo = echo_of(options, i);
    TextOffset offset(echo);
    choices.push_back({{"index", i},
                       {"text", echo + answers[i].text(DeltaKind::kContent)},
                       {"logprobs", logprobs_json(options, answers[i].logprobs(), offset)},
                       {"finish_reason", openai_finish_reason(answers[i].finish)}});
  }
  return {{"id", identity.id},       {"object", "text_completion"}, {"created", identity.created},
          {"model", identity.model}, {"choices", choices},          {"usage", openai_usage(usage)}};
}

void completions(Service& service, std::shared_ptr<Exchange> exchange) {
  answer_by_generation(service, std::move(exchange), read_request);
}

Json completion_request_schema() { return schema_of(completion_table()); }

Json completion_response_schema() {
  return answer_schema({{"id", "string"},
                        {"object", "string"},
                        {"created", "integer"},
                        {"model", "string"},
                        {"choices", "array"},
                        {"usage", "object"}});
}

}  // namespace glimmer::serve

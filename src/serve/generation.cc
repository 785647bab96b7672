#include "serve/generation.h"

#include <deque>
#include <optional>

#include "base/utf8.h"
#include "engine/engine.h"
#include "serve/background.h"
#include "serve/service.h"
#include "serve/sse.h"
#include "session/answer_reader.h"
#include "session/token_records.h"

namespace glimmer::serve {
namespace {

constexpr size_t kMaxLoggedName = 128;
constexpr size_t kMaxRemarks = 64;
constexpr int64_t kSmallAnswerBytes = 256 << 10;  // about 3 ms of writing
constexpr int64_t kJsonValueBytes = 64;           // an empty list in a list; larger ones are rather bytes than values

// A parsed request, with its prompts.
struct Prepared {
  ReadRequest request;
  std::vector<PreparedPrompt> prompts;
  std::shared_ptr<const ToolSchemas> tools;  // null: none are declared, or the prompt does not fit
};

// Uses only thread-safe functions of the exchange. Null if the client has disconnected meanwhile.
std::shared_ptr<Prepared> prepare(const Service& service, Exchange& exchange, RequestReader read) {
  auto out = std::make_shared<Prepared>(Prepared{read(service, exchange.request().body), {}, nullptr});
  GenerationJob& job = out->request.job;
  exchange.request().drop_body(job.json_values * kJsonValueBytes);
  if (!job.is_chat()) {
    for (const RawPrompt& prompt : std::get<std::vector<RawPrompt>>(job.input)) {
      if (exchange.closed()) return nullptr;
      out->prompts.push_back(service.model.prepare(prompt, job.suffix));
    }
    return out;
  }
  if (exchange.closed()) return nullptr;
  out->prompts.push_back(service.model.prepare(job.chat()));
  job.chat().messages.clear();
  const auto tokens = static_cast<int64_t>(out->prompts.front().ids.size());
  if (job.chat().tools.empty() || tokens >= service.model.max_context_tokens()) return out;
  out->tools = std::make_shared<const ToolSchemas>(std::make_shared<const Json>(std::move(job.chat().tools)));
  for (const std::string& remark : out->tools->remarks()) {
    if (job.unknown_fields.size() < kMaxRemarks) job.unknown_fields.push_back(remark);
  }
  return out;
}

AnswerReader::Setup reader_setup(const ServedModel& model, const GenerationJob& job, const AnswerFormat& format,
                                 const PreparedPrompt& prompt, const std::shared_ptr<const ToolSchemas>& tools) {
  AnswerReader::Setup setup{.tokenizer = model.tokenizer(),
                            .stop = job.stop,
                            .top_logprobs = job.top_logprobs,
                            .max_new_tokens = job.max_new_tokens,
                            .call_id_prefix = format.call_id_prefix};
  if (!format.reads_output) return setup;
  OutputParserOptions& output = setup.output.emplace();
  output.format = tools != nullptr ? model.tool_call_format() : ToolCallFormat::kNone;
  output.starts_in_reasoning = prompt.opens_reasoning;
  output.continues_text = prompt.continues_text;
  output.tools = tools;
  output.max_calls = job.parallel_tool_calls ? 0 : 1;
  return setup;
}

class Generation : public std::enable_shared_from_this<Generation> {
 public:
  Generation(Service& service, std::shared_ptr<Exchange> exchange, Prepared prepared)
      : service_(service),
        exchange_(std::move(exchange)),
        job_(std::move(prepared.request.job)),
        format_(std::move(prepared.request.format)),
        prompts_(std::move(prepared.prompts)),
        tools_(std::move(prepared.tools)) {}

  ~Generation() { cancel(); }

  // An exception ends it: nothing else holds it then.
  void start() {
    note_prompts();
    bound_logprobs();
    const std::weak_ptr<Generation> weak = weak_from_this();
    const auto pump_if_alive = [weak] {
      if (const auto self = weak.lock()) self->pump();
    };
    exchange_->on_news(pump_if_alive);
    exchange_->on_closed([weak] {
      if (const auto self = weak.lock()) self->abandon();
    });
    if (format_.stream) exchange_->on_writable(pump_if_alive);
    for (size_t i = 0; i < prompts_.size(); ++i) {
      for (int64_t k = 0; k < job_.n; ++k) add_choice(i, k);
    }
    if (format_.stream) {
      std::string out;
      format_.stream->begin({.prompt_tokens = usage_.prompt_tokens}, out);
      exchange_->begin_stream(kEventStream, format_.heartbeat, {{"Cache-Control", "no-cache"}});
      exchange_->write(out);
    }
    if (!exchange_->closed()) keep_alive_ = shared_from_this();
  }

 private:
  struct Choice {
    size_t prompt = 0;
    std::shared_ptr<RequestHandle> handle;
    std::unique_ptr<AnswerReader> reader;
    std::vector<GeneratedToken> prompt_tokens;  // with logprobs, until they are echoed
    bool echoes = false;                        // the prompt still has to be sent before the answer
    std::deque<GeneratedToken> unread;          // taken from the engine, while the client's queue is full
    std::optional<GeneratedToken> stop_token;
    std::optional<FinishReason> engine_finish;
    Answer answer;  // without a stream, or for the log
    bool done = false;
  };

  void note_prompts() {
    RequestNotes& notes = exchange_->notes();
    notes.model = to_valid_utf8(std::string_view(job_.model).substr(0, kMaxLoggedName));
    notes.remarks = std::move(job_.unknown_fields);
    for (const PreparedPrompt& prompt : prompts_) {
      notes.remarks.insert(notes.remarks.end(), prompt.remarks.begin(), prompt.remarks.end());
      const auto tokens = static_cast<int64_t>(prompt.ids.size());
      usage_.prompt_tokens += tokens;
      notes.prompt_tokens = usage_.prompt_tokens;
      if (service_.log_prompts) notes.prompt += prompt.text;
      if (tokens == 0) throw ApiError(400, "the prompt is empty");
      check_context(tokens, service_.model.max_context_tokens(), format_.errors);
    }
  }

  // Those of a whole answer, and of prompts that are echoed, are in memory together.
  void bound_logprobs() {
    if (job_.top_logprobs < 0) return;
    const int64_t each = job_.top_logprobs + 1;
    const int64_t most = service_.limits.max_logprobs / each;
    int64_t tokens = job_.echo ? usage_.prompt_tokens * job_.n : 0;
    if (!format_.stream) {
      const int64_t context = service_.model.max_context_tokens();
      const int64_t share = (most - tokens) / (static_cast<int64_t>(prompts_.size()) * job_.n);
      if (!job_.max_new_tokens && share >= 1 && share < context) job_.max_new_tokens = share;
      for (const PreparedPrompt& prompt : prompts_) {
        const int64_t room = context - static_cast<int64_t>(prompt.ids.size());
        tokens += job_.n * std::min(job_.max_new_tokens.value_or(room), room);
      }
    }
    if (tokens <= most) return;
    throw ApiError(400,
                   fmt::format("logprobs of up to {} tokens, {} for each, are more than {}: ask for fewer of them, "
                               "of answers or of tokens{}",
                               tokens, each, service_.limits.max_logprobs, format_.stream ? "" : ", or for a stream"));
  }

  void add_choice(size_t prompt, int64_t k) {
    const auto index = static_cast<int64_t>(choices_.size());
    auto choice = std::make_unique<Choice>();
    choice->prompt = prompt;
    choice->echoes = echoes_logprobs();
    choice->reader = std::make_unique<AnswerReader>(
        reader_setup(service_.model, job_, format_, prompts_[prompt], tools_),
        [this, index](AnswerDelta delta) { emit(index, std::move(delta)); }, exchange_->notes().remarks);
    choices_.push_back(std::move(choice));  // first, so that submitted requests are ended in any case
    choices_.back()->handle =
        service_.engine.submit(request(prompt, k), [exchange = exchange_] { exchange->tell_news(); });
  }

  EngineRequest request(size_t prompt, int64_t k) const {
    const std::string& key_id = exchange_->request().key_id;
    EngineRequest out;
    out.prompt = prompts_[prompt].ids;
    out.generation.sampling = service_.model.sampling(job_.sampling, k);
    out.generation.max_new_tokens = job_.max_new_tokens;
    if (!job_.ignore_eos) out.generation.stop_ids = service_.model.stop_ids();
    auto& stop_ids = out.generation.stop_ids;
    stop_ids.insert(stop_ids.end(), job_.stop_token_ids.begin(), job_.stop_token_ids.end());
    out.top_logprobs = job_.top_logprobs;
    if (echoes_logprobs()) out.prompt_logprobs = job_.top_logprobs;
    out.tenant = key_id;
    if (service_.separate_keys) out.cache_scope = key_id;
    return out;
  }

  // Takes new tokens, as far as the client's queue has room.
  void pump() {
    if (!keep_alive_) return;  // it has ended
    try {
      for (size_t i = 0; i < choices_.size(); ++i) read_choice(static_cast<int64_t>(i));
    } catch (...) {
      if (keep_alive_) fail(std::current_exception());
      return;
    }
    for (const auto& choice : choices_) {
      if (!choice->done) return;
    }
    if (!keep_alive_) return;  // a write found the client gone
    try {
      end();
    } catch (...) {
      fail(std::current_exception());
    }
  }

  bool has_room() const { return !format_.stream || exchange_->writable(); }

  void read_choice(int64_t index) {
    Choice& choice = *choices_[static_cast<size_t>(index)];
    while (keep_alive_ && !choice.done && has_room()) {
      if (choice.unread.empty() && !choice.engine_finish && !take_news(choice)) return;
      if (std::exchange(choice.echoes, false)) {
        emit(index, echo(choice));
      } else if (!choice.unread.empty()) {
        choice.reader->take(choice.unread.front());
        choice.unread.pop_front();
      } else if (choice.engine_finish) {
        choice.reader->end(*choice.engine_finish, choice.handle->usage().generated_tokens);
        if (choice.stop_token && echoes_logprobs()) emit(index, end_of(choice));
      }
      if (choice.reader->finish()) finish_choice(index);
      flush();
    }
  }

  // False if there is nothing new.
  bool take_news(Choice& choice) {
    RequestHandle::News news = choice.handle->take();
    if (news.error) std::rethrow_exception(news.error);
    if (news.finish_reason == FinishReason::kCancelled) throw ApiError(503, "the server is shutting down");
    choice.unread.insert(choice.unread.end(), std::make_move_iterator(news.tokens.begin()),
                         std::make_move_iterator(news.tokens.end()));
    choice.prompt_tokens.insert(choice.prompt_tokens.end(), std::make_move_iterator(news.prompt.begin()),
                                std::make_move_iterator(news.prompt.end()));
    if (news.stop_token) choice.stop_token = std::move(news.stop_token);
    choice.engine_finish = news.finish_reason;
    return !choice.unread.empty() || choice.engine_finish;
  }

  bool echoes_logprobs() const { return job_.echo && job_.top_logprobs >= 0; }

  // The prompt as the first piece of the answer.
  AnswerDelta echo(Choice& choice) const {
    const PreparedPrompt& prompt = prompts_[choice.prompt];
    const Tokenizer& tokenizer = service_.model.tokenizer();
    AnswerDelta out;
    out.text = prompt.text.empty() ? tokenizer.decode(prompt.ids) : prompt.text;
    const size_t added = tokens_before(prompt, tokenizer);
    for (size_t i = 0; i < prompt.ids.size(); ++i) {
      const bool is_scored = i > 0 && i <= choice.prompt_tokens.size();
      TokenRecord record = token_record(service_.model.tokenizer(),
                                        is_scored ? choice.prompt_tokens[i - 1] : GeneratedToken{prompt.ids[i], 0, {}});
      record.predicted = is_scored;
      record.in_text = i >= added;
      out.logprobs.push_back(std::move(record));
    }
    choice.prompt_tokens = {};
    return out;
  }

  // Number of tokens that the tokenizer prepends to the client's text, such as Llama's <s>.
  static size_t tokens_before(const PreparedPrompt& prompt, const Tokenizer& tokenizer) {
    constexpr size_t kMost = 4;
    if (prompt.text.empty()) return 0;
    size_t count = 0;
    while (count < std::min(kMost, prompt.ids.size()) &&
           tokenizer.decode(std::span(prompt.ids).subspan(count)).size() > prompt.text.size()) {
      ++count;
    }
    return count;
  }

  // The token that ended an answer, which is no text: clients that sum a prompt's logprobs expect one token after it.
  AnswerDelta end_of(const Choice& choice) const {
    AnswerDelta out;
    out.logprobs.push_back(token_record(service_.model.tokenizer(), *choice.stop_token));
    out.logprobs.back().in_text = false;
    return out;
  }

  void emit(int64_t index, AnswerDelta delta) {
    if (format_.stream) {
      format_.stream->delta(index, delta, out_);
      delta.logprobs.clear();
    }
    if (!format_.stream || service_.log_prompts) choices_[static_cast<size_t>(index)]->answer.add(delta);
  }

  void finish_choice(int64_t index) {
    Choice& choice = *choices_[static_cast<size_t>(index)];
    choice.done = true;
    choice.handle->finish(FinishReason::kStopString);  // nothing, if the engine ended it
    choice.unread.clear();
    choice.answer.finish = *choice.reader->finish();
    if (format_.stream) format_.stream->finish(index, choice.answer.finish, out_);
    usage_.completion_tokens += choice.reader->tokens();
    usage_.reasoning_tokens += choice.reader->reasoning_tokens();
    // A prompt counts once, whatever the number of its answers.
    if (index % job_.n == 0) usage_.cached_tokens += choice.handle->usage().cached_tokens;
  }

  void flush() {
    if (out_.empty()) return;
    exchange_->write(out_);
    out_.clear();
  }

  void end() {
    write_notes();
    if (format_.stream) {
      format_.stream->end(usage_, out_);
      flush();
      exchange_->end_stream();
    } else {
      answer_whole();
    }
    keep_alive_.reset();
  }

  // A large answer is written in the background, so that other streams go on meanwhile.
  void answer_whole() {
    std::vector<Answer> answers;
    int64_t bytes = 0;
    for (const auto& choice : choices_) {
      bytes += size_of(choice->answer);
      answers.push_back(std::move(choice->answer));
    }
    const auto write = [object = std::move(format_.object), answers = std::move(answers), usage = usage_] {
      return dump_json(object(answers, usage));
    };
    if (bytes <= kSmallAnswerBytes || service_.background == nullptr) {
      return exchange_->respond(200, "application/json", write());
    }
    run_in_background(service_, exchange_, bytes, [exchange = exchange_, write]() -> std::function<void()> {
      const auto text = std::make_shared<std::string>(write());
      return [exchange, text] { exchange->respond(200, "application/json", std::move(*text)); };
    });
  }

  // Its approximate size as JSON.
  int64_t size_of(const Answer& answer) const {
    constexpr int64_t kLogprobBytes = 100;
    int64_t bytes = 0;
    for (const AnswerPart& part : answer.parts) {
      const auto tokens = static_cast<int64_t>(part.logprobs.size());
      bytes += static_cast<int64_t>(part.text.size()) + tokens * (job_.top_logprobs + 1) * kLogprobBytes;
    }
    return bytes;
  }

  void write_notes() {
    RequestNotes& notes = exchange_->notes();
    const RequestUsage engine = choices_.front()->handle->usage();
    notes.cached_tokens = usage_.cached_tokens;
    notes.completion_tokens = usage_.completion_tokens;
    notes.reasoning_tokens = usage_.reasoning_tokens;
    notes.queue_s = engine.queue_s;
    notes.first_token_s = engine.first_token_s;
    notes.finish_reason = finish_name(choices_.front()->answer.finish.end);
    if (!service_.log_prompts) return;
    for (const auto& choice : choices_) {
      for (const AnswerPart& part : choice->answer.parts) notes.answer += part.name + part.text;
    }
  }

  static std::string finish_name(AnswerEnd end) {
    switch (end) {
      case AnswerEnd::kStop:
        return "stop";
      case AnswerEnd::kStopString:
        return "stop_string";
      case AnswerEnd::kToolCalls:
        return "tool_calls";
      case AnswerEnd::kLength:
        return "length";
      case AnswerEnd::kContextFull:
        return "context_full";
    }
    return "";
  }

  // If not even the error can be sent, the exchange ends as after any exception of an endpoint.
  void fail(const std::exception_ptr& exception) {
    const std::shared_ptr<Generation> self = std::move(keep_alive_);
    cancel();
    const ApiError error = api_error_of(exception);
    if (!exchange_->answered()) return respond_error(*exchange_, format_.errors, error);
    exchange_->notes().error = error.what();
    if (!format_.stream) return exchange_->abort_stream();  // the whole answer could not be sent
    flush();
    std::string out;
    format_.stream->error(error, out);
    exchange_->write(out);
    exchange_->end_stream();
  }

  // The client is gone.
  void abandon() {
    cancel();
    RequestNotes& notes = exchange_->notes();
    notes.finish_reason = "cancelled";
    notes.completion_tokens = 0;
    for (const auto& choice : choices_) notes.completion_tokens += choice->handle->usage().generated_tokens;
    keep_alive_.reset();
  }

  void cancel() {
    for (const auto& choice : choices_) {
      if (choice->handle && !choice->done) choice->handle->cancel();
    }
  }

  Service& service_;
  std::shared_ptr<Exchange> exchange_;
  GenerationJob job_;
  AnswerFormat format_;
  std::vector<PreparedPrompt> prompts_;
  std::shared_ptr<const ToolSchemas> tools_;
  std::vector<std::unique_ptr<Choice>> choices_;
  AnswerUsage usage_;
  std::string out_;                         // what goes to the client next
  std::shared_ptr<Generation> keep_alive_;  // itself, until it has ended
};

}  // namespace

void answer_by_generation(Service& service, std::shared_ptr<Exchange> exchange, RequestReader read) {
  run_aside(service, exchange, [&service, exchange, read]() -> std::function<void()> {
    const std::shared_ptr<Prepared> prepared = prepare(service, *exchange, read);
    if (!prepared) return {};
    return [&service, exchange, prepared] {
      if (exchange->closed()) return;
      std::make_shared<Generation>(service, exchange, std::move(*prepared))->start();
    };
  });
}

void check_context(int64_t prompt_tokens, int64_t max_context_tokens, ErrorShape shape) {
  if (prompt_tokens < max_context_tokens) return;
  // Agents recognise this wording and compact the conversation.
  ApiError error(400, shape == ErrorShape::kAnthropic
                          ? fmt::format("prompt is too long: {} tokens > {} maximum", prompt_tokens, max_context_tokens)
                          : fmt::format("This model's maximum context length is {} tokens. However, your prompt has {} "
                                        "tokens. Please shorten it.",
                                        max_context_tokens, prompt_tokens));
  error.code = "context_length_exceeded";
  throw error;
}

}  // namespace glimmer::serve

#include "session/local_model.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <exception>

#include "base/bell.h"
#include "base/error.h"
#include "session/answer_reader.h"
#include "session/random_id.h"

namespace glimmer {
namespace {

constexpr int64_t kLogitsChunkTokens = 256;  // activations of logits() beside the engine's

class EngineAnswer final : public LocalAnswer {
 public:
  EngineAnswer(Engine& engine, EngineRequest request, AnswerReader::Setup setup)
      : reader_(
            std::move(setup), [this](AnswerDelta delta) { deltas_.push_back(std::move(delta)); }, remarks_),
        handle_(engine.submit(std::move(request), [bell = bell_] { bell->ring(); })) {}
  ~EngineAnswer() override { handle_->cancel(); }

  std::optional<AnswerDelta> next() override {
    if (failure_) std::rethrow_exception(failure_);  // nobody rings any more
    try {
      while (deltas_.empty() && !reader_.finish()) read_some();
    } catch (...) {
      failure_ = std::current_exception();
      handle_->cancel();
      throw;
    }
    if (deltas_.empty()) return std::nullopt;
    AnswerDelta delta = std::move(deltas_.front());
    deltas_.pop_front();
    return delta;
  }

  const AnswerFinish& finish() const override { return *reader_.finish(); }

  AnswerUsage usage() const override {
    const RequestUsage used = handle_->usage();
    return {.prompt_tokens = used.prompt_tokens,
            .cached_tokens = used.cached_tokens,
            .completion_tokens = used.generated_tokens,
            .reasoning_tokens = reader_.reasoning_tokens()};
  }

  void cancel() override { handle_->cancel(); }

 private:
  void read_some() {
    bell_->wait();
    const RequestHandle::News news = handle_->take();
    for (const GeneratedToken& token : news.tokens) {
      if (!reader_.finish()) reader_.take(token);
    }
    if (!reader_.finish()) {
      if (news.error != nullptr) std::rethrow_exception(news.error);
      if (news.finish_reason == FinishReason::kCancelled) fail(ErrorCode::kCancelled, "the answer was cancelled");
      if (news.finish_reason) reader_.end(*news.finish_reason, handle_->usage().generated_tokens);
    }
    if (reader_.finish()) handle_->finish(FinishReason::kStopString);  // nothing, if the engine ended it
  }

  std::shared_ptr<Bell> bell_ = std::make_shared<Bell>();
  std::vector<std::string> remarks_;
  std::deque<AnswerDelta> deltas_;
  AnswerReader reader_;
  std::shared_ptr<RequestHandle> handle_;
  std::exception_ptr failure_;
};

}  // namespace

LocalModel::LocalModel(const std::filesystem::path& path, const LocalModelOptions& options)
    : context_options_(options.context), context_(options.context) {
  ModelFiles files = open_model(path);
  sampling_ = files.sampling;
  stop_ids_ = files.stop_ids();
  name_ = files.files.model;
  if (files.tokenizer) chat_ = ChatTemplate::exists(files.files) ? chat_model(files) : text_model(files);
  model_.emplace(Model::load(files.source, context_.device(), options.progress));
  engine_.emplace(*model_, context_, options.engine);
}

const ChatModel& LocalModel::require_chat() const {
  if (!chat_)
    fail(ErrorCode::kUnsupported, "{}: there is no tokenizer.json, so it has no texts: only logits of ids", name_);
  return *chat_;
}

EngineRequest LocalModel::request_of(std::vector<int32_t> ids, const AnswerRequest& request) const {
  EngineRequest out;
  out.prompt = std::move(ids);
  out.generation.sampling = resolve_sampling(request.sampling, sampling_, random_seed());
  out.generation.max_new_tokens = request.max_new_tokens;
  if (!request.ignore_eos) out.generation.stop_ids = stop_ids_;
  return out;
}

std::unique_ptr<LocalAnswer> LocalModel::answer(const Chat& chat, const AnswerRequest& request) {
  PreparedPrompt prompt = require_chat().prepare(chat);
  AnswerReader::Setup setup{
      .tokenizer = chat_->tokenizer(), .stop = request.stop, .max_new_tokens = request.max_new_tokens};
  OutputParserOptions& output = setup.output.emplace();
  output.starts_in_reasoning = prompt.opens_reasoning;
  output.continues_text = prompt.continues_text;
  if (!chat.tools.empty()) {
    output.format = chat_->tool_call_format();
    output.tools = std::make_shared<const ToolSchemas>(Json(chat.tools));
  }
  return std::make_unique<EngineAnswer>(*engine_, request_of(std::move(prompt.ids), request), std::move(setup));
}

std::unique_ptr<LocalAnswer> LocalModel::go_on(const RawPrompt& prompt, const AnswerRequest& request) {
  std::vector<int32_t> ids = require_chat().prepare(prompt).ids;
  AnswerReader::Setup setup{
      .tokenizer = chat_->tokenizer(), .stop = request.stop, .max_new_tokens = request.max_new_tokens};
  return std::make_unique<EngineAnswer>(*engine_, request_of(std::move(ids), request), std::move(setup));
}

void LocalModel::logits(std::span<const int32_t> ids, int64_t rows, std::span<float> out) {
  const auto count = static_cast<int64_t>(ids.size());
  const int64_t vocab = config().vocab_size;
  if (count < 1) fail(ErrorCode::kUsage, "logits: there are no ids");
  if (count > config().max_position_embeddings) {
    fail(ErrorCode::kLimit, "logits: {} ids, but the context holds {} (max_position_embeddings)", count,
         config().max_position_embeddings);
  }
  if (rows < 1 || rows > count) fail(ErrorCode::kUsage, "logits: {} rows of {} ids", rows, count);
  if (static_cast<int64_t>(out.size()) < rows * vocab) {
    fail(ErrorCode::kLimit, "logits: room for {} values, {} rows of {} need {}", out.size(), rows, vocab, rows * vocab);
  }
  const std::lock_guard lock(logits_mutex_);
  if (!logits_runner_) {
    logits_context_.emplace(context_options_);
    logits_runner_.emplace(*model_, *logits_context_, kLogitsChunkTokens);
  }
  KvCache kv = logits_runner_->make_cache();
  float* to = out.data();
  for (int64_t at = 0; at < count; at += kLogitsChunkTokens) {
    const int64_t tokens = std::min(kLogitsChunkTokens, count - at);
    const int64_t wanted = std::clamp<int64_t>(at + tokens - (count - rows), 0, tokens);
    const ConstTensorView logits =
        logits_runner_->run(ids.subspan(static_cast<size_t>(at), static_cast<size_t>(tokens)), kv, wanted);
    if (wanted > 0) std::memcpy(to, logits.data, logits.size_bytes());
    to += wanted * vocab;
  }
}

}  // namespace glimmer

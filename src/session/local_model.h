// A model that is ready to answer in this process: opened, loaded, with an engine that runs it.
#pragma once

#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/local_runner.h"
#include "session/answer.h"
#include "session/chat_model.h"
#include "session/model_files.h"

namespace glimmer {

inline constexpr int kMaxThreads = 1024;  // more are a typing error, and take minutes to start

struct LocalModelOptions {
  Context::Options context;
  EngineOptions engine;
  Model::ProgressCallback progress;  // while weights are loaded
};

// What is asked of one answer.
struct AnswerRequest {
  SamplingRequest sampling;
  std::optional<int64_t> max_new_tokens;  // absent: until the context is full
  std::vector<std::string> stop;          // in the answer's text
  bool ignore_eos = false;
};

// One answer, piece by piece. One thread at a time, but for cancel().
class LocalAnswer {
 public:
  virtual ~LocalAnswer() = default;  // cancels it

  // The next piece; waits for it. Nothing once it has ended: then finish() says why. Throws kCancelled after cancel(),
  // and what the engine throws; each later call throws it again.
  virtual std::optional<AnswerDelta> next() = 0;
  virtual const AnswerFinish& finish() const = 0;
  virtual AnswerUsage usage() const = 0;
  virtual void cancel() = 0;  // any thread
};

// Any number of threads may use it.
class LocalModel {
 public:
  // Throws as the readers of its parts, before weights are loaded where it can.
  LocalModel(const std::filesystem::path& path, const LocalModelOptions& options);

  const ModelConfig& config() const { return model_->config(); }
  // Null where the model has no tokenizer.
  const ChatModel* chat() const { return chat_ ? &*chat_ : nullptr; }
  int64_t max_context_tokens() const { return engine_->max_context_tokens(); }

  // Throw as Engine::submit and ChatModel::prepare; kUnsupported where there is no tokenizer. The model must
  // outlive its answers.
  std::unique_ptr<LocalAnswer> answer(const Chat& chat, const AnswerRequest& request);
  std::unique_ptr<LocalAnswer> go_on(const RawPrompt& prompt, const AnswerRequest& request);

  // The logits that follow each of the last `rows` ids: [rows, vocab_size]. Beside the engine, one call at a time.
  void logits(std::span<const int32_t> ids, int64_t rows, std::span<float> out);

 private:
  const ChatModel& require_chat() const;
  EngineRequest request_of(std::vector<int32_t> ids, const AnswerRequest& request) const;

  SamplingDefaults sampling_;
  std::vector<int32_t> stop_ids_;
  std::string name_;
  std::optional<ChatModel> chat_;
  Context::Options context_options_;
  Context context_;
  std::optional<Model> model_;
  std::optional<Engine> engine_;
  std::mutex logits_mutex_;
  std::optional<Context> logits_context_;  // made at first use
  std::optional<LocalRunner> logits_runner_;
};

}  // namespace glimmer

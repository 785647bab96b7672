// include/glimmer/glimmer.h over the session layer. Every function that can fail runs its body in guarded().
#include <glimmer/glimmer.h>

#include <cmath>
#include <cstring>
#include <mutex>
#include <new>
#include <string>

#include "base/error.h"
#include "base/log.h"
#include "session/chat_json.h"
#include "session/local_model.h"

struct glimmer_model {
  glimmer::LocalModel model;

  glimmer_model(const std::filesystem::path& path, const glimmer::LocalModelOptions& options) : model(path, options) {}
};

struct glimmer_generation {
  std::unique_ptr<glimmer::LocalAnswer> answer;
  glimmer::AnswerDelta delta;  // that the last event was of
};

namespace {

using glimmer::ErrorCode;
using glimmer::fail;

std::string& last_error() {
  thread_local std::string text;
  return text;
}

glimmer_status failed(glimmer_status status, const char* text) noexcept {
  try {
    last_error() = text;
  } catch (...) {
    last_error().clear();  // no memory for it
  }
  return status;
}

glimmer_status status_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::kUsage:
      return GLIMMER_USAGE;
    case ErrorCode::kNotFound:
      return GLIMMER_NOT_FOUND;
    case ErrorCode::kIo:
      return GLIMMER_IO;
    case ErrorCode::kInvalid:
      return GLIMMER_INVALID;
    case ErrorCode::kUnsupported:
      return GLIMMER_UNSUPPORTED;
    case ErrorCode::kLimit:
      return GLIMMER_LIMIT;
    case ErrorCode::kMemory:
      return GLIMMER_MEMORY;
    case ErrorCode::kCancelled:
      return GLIMMER_CANCELLED;
    case ErrorCode::kPeer:
      return GLIMMER_PEER;
  }
  return GLIMMER_INTERNAL;
}

template <typename Body>
glimmer_status guarded(const Body& body) noexcept {
  try {
    body();
    return GLIMMER_OK;
  } catch (const glimmer::Error& error) {
    return failed(status_of(error.code()), error.what());
  } catch (const std::bad_alloc&) {
    return failed(GLIMMER_MEMORY, "out of memory");
  } catch (const std::exception& error) {
    return failed(GLIMMER_INTERNAL, error.what());
  } catch (...) {
    return failed(GLIMMER_INTERNAL, "an error of no known kind");
  }
}

template <typename T>
T& required(T* argument, const char* name) {
  if (argument == nullptr) fail(ErrorCode::kUsage, "{} is null", name);
  return *argument;
}

std::string_view text_of(const char* text, size_t size, const char* name) {
  if (text == nullptr && size > 0) fail(ErrorCode::kUsage, "{} is null, but its size is {}", name, size);
  return {text, size};
}

std::span<const int32_t> ids_of(const int32_t* ids, size_t count) {
  if (ids == nullptr && count > 0) fail(ErrorCode::kUsage, "ids is null, but their number is {}", count);
  return {ids, count};
}

// A struct of the caller's, which may be of an older header: what it lacks has its default.
template <typename T>
T options_of(const T* given, void (*init)(T*), const char* name) {
  T options;
  init(&options);
  if (given == nullptr) return options;
  if (given->struct_size == 0 || given->struct_size > sizeof(T)) {
    fail(ErrorCode::kUsage, "{}: struct_size is {}, expected 1 to {}: initialise it with {}_init", name,
         given->struct_size, sizeof(T), name);
  }
  std::memcpy(static_cast<void*>(&options), given, given->struct_size);
  return options;
}

template <typename T>
void copy_out(std::span<const T> values, T* out, size_t capacity, size_t* count, const char* what) {
  required(count, "count") = values.size();
  const size_t copied = std::min(capacity, values.size());
  if (copied > 0) std::memcpy(&required(out, what), values.data(), copied * sizeof(T));
  if (values.size() > capacity) fail(ErrorCode::kLimit, "{}: room for {}, there are {}", what, capacity, values.size());
}

const glimmer::ChatModel& tokenizer_of(const glimmer_model* model) {
  const glimmer::ChatModel* chat = required(model, "model").model.chat();
  if (chat == nullptr) fail(ErrorCode::kUnsupported, "the model has no tokenizer.json");
  return *chat;
}

glimmer::LocalModelOptions loading_of(const glimmer_model_options& given) {
  glimmer::LocalModelOptions options;
  if (given.backend != nullptr) options.context.backend = given.backend;
  if (given.precision != nullptr) options.context.precision = glimmer::precision_by_name(given.precision);
  if (given.kv_type != nullptr) options.context.kv_type = glimmer::kv_type_by_name(given.kv_type);
  if (given.threads < 0 || given.threads > glimmer::kMaxThreads) {
    fail(ErrorCode::kUsage, "threads is {}, but must be in [0, {}]", given.threads, glimmer::kMaxThreads);
  }
  options.context.threads = given.threads;
  options.engine.kv_bytes = given.kv_bytes;
  options.engine.max_sequences = given.max_sequences;
  if (given.progress != nullptr) {
    options.progress = [call = given.progress, user = given.progress_user](const glimmer::LoadProgress& progress) {
      if (call(progress.done_bytes, progress.total_bytes, user) != 0) {
        fail(ErrorCode::kCancelled, "loading was stopped by its callback");
      }
    };
  }
  return options;
}

std::optional<double> given_or_none(double value) { return std::isnan(value) ? std::nullopt : std::optional(value); }

glimmer::AnswerRequest request_of(const glimmer_generate_options* options) {
  const glimmer_generate_options given = options_of(options, glimmer_generate_options_init, "glimmer_generate_options");
  glimmer::AnswerRequest request;
  if (given.max_tokens < -1) fail(ErrorCode::kUsage, "max_tokens is {}, but must be at least -1", given.max_tokens);
  if (given.max_tokens >= 0) request.max_new_tokens = given.max_tokens;
  request.sampling.temperature = given_or_none(given.temperature);
  request.sampling.top_p = given_or_none(given.top_p);
  request.sampling.min_p = given_or_none(given.min_p);
  if (given.top_k != -1) request.sampling.top_k = given.top_k;
  request.sampling.repetition_penalty = given_or_none(given.repetition_penalty);
  request.sampling.presence_penalty = given.presence_penalty;
  request.sampling.frequency_penalty = given.frequency_penalty;
  if (given.seed < -1) fail(ErrorCode::kUsage, "seed is {}, but must be at least -1", given.seed);
  if (given.seed >= 0) request.sampling.seed = static_cast<uint64_t>(given.seed);
  for (size_t i = 0; i < given.stop_count; ++i) {
    const char* each = required(given.stop, "stop") == nullptr ? nullptr : given.stop[i];
    const std::string text = &required(each, "stop");
    if (text.empty()) fail(ErrorCode::kUsage, "stop: text {} is empty", i);
    request.stop.push_back(text);
  }
  request.ignore_eos = given.ignore_eos != 0;
  return request;
}

const char* end_name(glimmer::AnswerEnd end) {
  switch (end) {
    case glimmer::AnswerEnd::kStop:
      return "stop";
    case glimmer::AnswerEnd::kStopString:
      return "stop_string";
    case glimmer::AnswerEnd::kToolCalls:
      return "tool_calls";
    case glimmer::AnswerEnd::kLength:
    case glimmer::AnswerEnd::kContextFull:
      return "length";
  }
  return "";
}

glimmer_event_kind kind_of(glimmer::DeltaKind kind) {
  switch (kind) {
    case glimmer::DeltaKind::kReasoning:
      return GLIMMER_REASONING;
    case glimmer::DeltaKind::kToolCallBegin:
      return GLIMMER_TOOL_CALL_BEGIN;
    case glimmer::DeltaKind::kToolCallArguments:
      return GLIMMER_TOOL_CALL_ARGUMENTS;
    case glimmer::DeltaKind::kToolCallEnd:
      return GLIMMER_TOOL_CALL_END;
    case glimmer::DeltaKind::kContent:
    case glimmer::DeltaKind::kDiagnostic:
      break;
  }
  return GLIMMER_CONTENT;
}

void set_generation(glimmer_generation** out, std::unique_ptr<glimmer::LocalAnswer> answer) {
  *out = new glimmer_generation{.answer = std::move(answer), .delta = {}};
}

}  // namespace

const char* glimmer_version(void) { return GLIMMER_VERSION; }

const char* glimmer_status_name(glimmer_status status) {
  switch (status) {
    case GLIMMER_OK:
      return "ok";
    case GLIMMER_USAGE:
      return "usage";
    case GLIMMER_NOT_FOUND:
      return "not found";
    case GLIMMER_IO:
      return "i/o";
    case GLIMMER_INVALID:
      return "invalid";
    case GLIMMER_UNSUPPORTED:
      return "unsupported";
    case GLIMMER_LIMIT:
      return "limit";
    case GLIMMER_MEMORY:
      return "memory";
    case GLIMMER_CANCELLED:
      return "cancelled";
    case GLIMMER_PEER:
      return "peer";
    case GLIMMER_INTERNAL:
      return "internal";
  }
  return "unknown";
}

const char* glimmer_last_error(void) { return last_error().c_str(); }

void glimmer_set_log(glimmer_log_callback callback, void* user) {
  guarded([&] {
    if (callback == nullptr) return glimmer::set_log_sink({});
    glimmer::set_log_sink([callback, user](const std::string& line) { callback(line.c_str(), user); });
  });
}

void glimmer_model_options_init(glimmer_model_options* options) {
  if (options == nullptr) return;
  *options = {};
  options->struct_size = sizeof *options;
  options->max_sequences = glimmer::EngineOptions{}.max_sequences;
}

glimmer_status glimmer_model_load(const char* path, const glimmer_model_options* options, glimmer_model** model) {
  return guarded([&] {
    required(model, "model") = nullptr;
    const glimmer_model_options given = options_of(options, glimmer_model_options_init, "glimmer_model_options");
    *model = new glimmer_model(&required(path, "path"), loading_of(given));
  });
}

void glimmer_model_free(glimmer_model* model) { delete model; }

const char* glimmer_model_type(const glimmer_model* model) {
  return model == nullptr ? "" : model->model.config().model_type.c_str();
}
int64_t glimmer_model_vocab_size(const glimmer_model* model) {
  return model == nullptr ? 0 : model->model.config().vocab_size;
}
int64_t glimmer_model_context_tokens(const glimmer_model* model) {
  return model == nullptr ? 0 : model->model.max_context_tokens();
}
int glimmer_model_has_chat_template(const glimmer_model* model) {
  return model != nullptr && model->model.chat() != nullptr && model->model.chat()->chat_template() ? 1 : 0;
}

glimmer_status glimmer_tokenize(const glimmer_model* model, const char* text, size_t size, int parse_special,
                                int32_t* ids, size_t capacity, size_t* count) {
  return guarded([&] {
    const std::vector<int32_t> encoded = tokenizer_of(model).tokenizer().encode(
        text_of(text, size, "text"), {.add_special_tokens = false, .parse_special = parse_special != 0});
    copy_out<int32_t>(encoded, ids, capacity, count, "ids");
  });
}

glimmer_status glimmer_detokenize(const glimmer_model* model, const int32_t* ids, size_t count, char* text,
                                  size_t capacity, size_t* size) {
  return guarded([&] {
    const glimmer::Tokenizer& tokenizer = tokenizer_of(model).tokenizer();
    for (const int32_t id : ids_of(ids, count)) {
      if (id < 0 || id >= model->model.config().vocab_size) {
        fail(ErrorCode::kUsage, "id {}: expected 0 to {}", id, model->model.config().vocab_size - 1);
      }
    }
    const std::string decoded = tokenizer.decode(ids_of(ids, count));
    copy_out<char>(std::span(decoded.data(), decoded.size()), text, capacity, size, "text");
  });
}

glimmer_status glimmer_logits(glimmer_model* model, const int32_t* ids, size_t count, size_t rows, float* logits,
                              size_t capacity) {
  return guarded([&] {
    required(model, "model")
        .model.logits(ids_of(ids, count), static_cast<int64_t>(rows), {&required(logits, "logits"), capacity});
  });
}

void glimmer_generate_options_init(glimmer_generate_options* options) {
  if (options == nullptr) return;
  *options = {};
  options->struct_size = sizeof *options;
  options->max_tokens = -1;
  for (double* value : {&options->temperature, &options->top_p, &options->min_p, &options->repetition_penalty}) {
    *value = std::nan("");
  }
  options->top_k = -1;
  options->seed = -1;
}

glimmer_status glimmer_complete(glimmer_model* model, const char* text, size_t size,
                                const glimmer_generate_options* options, glimmer_generation** generation) {
  return guarded([&] {
    required(generation, "generation") = nullptr;
    const glimmer::RawPrompt prompt = std::string(text_of(text, size, "text"));
    set_generation(generation, required(model, "model").model.go_on(prompt, request_of(options)));
  });
}

glimmer_status glimmer_complete_ids(glimmer_model* model, const int32_t* ids, size_t count,
                                    const glimmer_generate_options* options, glimmer_generation** generation) {
  return guarded([&] {
    required(generation, "generation") = nullptr;
    const std::span<const int32_t> given = ids_of(ids, count);
    const glimmer::RawPrompt prompt = std::vector<int32_t>(given.begin(), given.end());
    set_generation(generation, required(model, "model").model.go_on(prompt, request_of(options)));
  });
}

glimmer_status glimmer_chat(glimmer_model* model, const char* json, size_t size,
                            const glimmer_generate_options* options, glimmer_generation** generation) {
  return guarded([&] {
    required(generation, "generation") = nullptr;
    const glimmer::Chat chat = glimmer::chat_of_json(text_of(json, size, "json"));
    set_generation(generation, required(model, "model").model.answer(chat, request_of(options)));
  });
}

glimmer_status glimmer_render(const glimmer_model* model, const char* json, size_t size, char* text, size_t capacity,
                              size_t* text_size) {
  return guarded([&] {
    const std::string rendered = tokenizer_of(model).prepare(glimmer::chat_of_json(text_of(json, size, "json"))).text;
    copy_out<char>(std::span(rendered.data(), rendered.size()), text, capacity, text_size, "text");
  });
}

glimmer_status glimmer_generation_next(glimmer_generation* generation, glimmer_event* event) {
  return guarded([&] {
    glimmer_generation& g = required(generation, "generation");
    glimmer_event& out = required(event, "event");
    out = {};
    out.call = -1;
    if (std::optional<glimmer::AnswerDelta> delta = g.answer->next()) {
      g.delta = std::move(*delta);
      out.kind = kind_of(g.delta.kind);
      out.call = g.delta.call;
      if (out.kind == GLIMMER_TOOL_CALL_BEGIN) out.call_id = g.delta.call_id.c_str();
    } else {
      g.delta = {};
      g.delta.text = end_name(g.answer->finish().end);
      out.kind = GLIMMER_END;
    }
    out.text = g.delta.text.c_str();
    out.size = g.delta.text.size();
  });
}

void glimmer_generation_cancel(glimmer_generation* generation) {
  if (generation != nullptr) generation->answer->cancel();
}

glimmer_status glimmer_generation_usage(const glimmer_generation* generation, glimmer_usage* usage) {
  return guarded([&] {
    const glimmer::AnswerUsage used = required(generation, "generation").answer->usage();
    const size_t size = required(usage, "usage").struct_size;
    if (size == 0 || size > sizeof(glimmer_usage)) {
      fail(ErrorCode::kUsage, "glimmer_usage: struct_size is {}, expected 1 to {}", size, sizeof(glimmer_usage));
    }
    const glimmer_usage all = {.struct_size = size,
                               .prompt_tokens = used.prompt_tokens,
                               .cached_tokens = used.cached_tokens,
                               .generated_tokens = used.completion_tokens,
                               .reasoning_tokens = used.reasoning_tokens};
    std::memcpy(usage, &all, size);
  });
}

void glimmer_generation_free(glimmer_generation* generation) { delete generation; }

// The C++ face of glimmer.h: owning handles, and errors as exceptions. Header only; C++17 and later.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "glimmer/glimmer.h"

namespace glimmer {

class ApiException : public std::runtime_error {
 public:
  explicit ApiException(glimmer_status status) : std::runtime_error(glimmer_last_error()), status_(status) {}
  glimmer_status status() const { return status_; }

 private:
  glimmer_status status_;
};

namespace detail {

inline void check(glimmer_status status) {
  if (status != GLIMMER_OK) throw ApiException(status);
}

// Calls once for the size and once for the values.
template <typename Container, typename Call>
Container filled(const Call& call) {
  Container out;
  size_t size = 0;
  const glimmer_status first = call(out.data(), size_t{0}, &size);
  if (first != GLIMMER_OK && first != GLIMMER_LIMIT) throw ApiException(first);
  out.resize(size);
  check(call(out.data(), size, &size));
  return out;
}

}  // namespace detail

struct ModelOptions : glimmer_model_options {
  ModelOptions() { glimmer_model_options_init(this); }
};

struct GenerateOptions {
  std::optional<int64_t> max_tokens;
  std::optional<double> temperature;
  std::optional<double> top_p;
  std::optional<double> min_p;
  std::optional<int64_t> top_k;
  std::optional<double> repetition_penalty;
  double presence_penalty = 0;
  double frequency_penalty = 0;
  std::optional<int64_t> seed;
  std::vector<std::string> stop;
  bool ignore_eos = false;
};

// A piece of an answer. Its texts are its own.
struct Event {
  glimmer_event_kind kind = GLIMMER_END;
  std::string text;
  int32_t call = -1;
  std::string call_id;
};

// One answer, as it comes. Must be gone before its model.
class Generation {
 public:
  explicit Generation(glimmer_generation* handle) : handle_(handle) {}

  // Nothing once it has ended; finish_reason() then says why. Throws with status GLIMMER_CANCELLED after cancel().
  std::optional<Event> next() {
    glimmer_event event;
    detail::check(glimmer_generation_next(handle_.get(), &event));
    if (event.kind == GLIMMER_END) {
      finish_reason_.assign(event.text, event.size);
      return std::nullopt;
    }
    return Event{event.kind, std::string(event.text, event.size), event.call,
                 event.call_id == nullptr ? "" : event.call_id};
  }
  // "stop", "stop_string", "tool_calls" or "length"; empty before the end.
  const std::string& finish_reason() const { return finish_reason_; }

  void cancel() { glimmer_generation_cancel(handle_.get()); }  // any thread

  glimmer_usage usage() const {
    glimmer_usage usage{};
    usage.struct_size = sizeof usage;
    detail::check(glimmer_generation_usage(handle_.get(), &usage));
    return usage;
  }

 private:
  struct Free {
    void operator()(glimmer_generation* handle) const { glimmer_generation_free(handle); }
  };
  std::unique_ptr<glimmer_generation, Free> handle_;
  std::string finish_reason_;
};

class LoadedModel {
 public:
  explicit LoadedModel(const std::string& path, const ModelOptions& options = {}) {
    glimmer_model* handle = nullptr;
    detail::check(glimmer_model_load(path.c_str(), &options, &handle));
    handle_.reset(handle);
  }

  std::string type() const { return glimmer_model_type(handle_.get()); }
  int64_t vocab_size() const { return glimmer_model_vocab_size(handle_.get()); }
  int64_t context_tokens() const { return glimmer_model_context_tokens(handle_.get()); }
  bool has_chat_template() const { return glimmer_model_has_chat_template(handle_.get()) != 0; }

  std::vector<int32_t> tokenize(std::string_view text, bool parse_special = false) const {
    return detail::filled<std::vector<int32_t>>([&](int32_t* ids, size_t capacity, size_t* count) {
      return glimmer_tokenize(handle_.get(), text.data(), text.size(), parse_special ? 1 : 0, ids, capacity, count);
    });
  }
  std::string detokenize(const std::vector<int32_t>& ids) const {
    return detail::filled<std::string>([&](char* text, size_t capacity, size_t* size) {
      return glimmer_detokenize(handle_.get(), ids.data(), ids.size(), text, capacity, size);
    });
  }
  // The prompt of a conversation, which is JSON as glimmer_chat() takes it.
  std::string render(std::string_view json) const {
    return detail::filled<std::string>([&](char* text, size_t capacity, size_t* size) {
      return glimmer_render(handle_.get(), json.data(), json.size(), text, capacity, size);
    });
  }
  // Of the last `rows` ids: [rows * vocab_size].
  std::vector<float> logits(const std::vector<int32_t>& ids, size_t rows) {
    std::vector<float> values(rows * static_cast<size_t>(vocab_size()));
    detail::check(glimmer_logits(handle_.get(), ids.data(), ids.size(), rows, values.data(), values.size()));
    return values;
  }

  Generation complete(std::string_view text, const GenerateOptions& options = {}) {
    return start(options, [&](const glimmer_generate_options* o, glimmer_generation** out) {
      return glimmer_complete(handle_.get(), text.data(), text.size(), o, out);
    });
  }
  Generation complete(const std::vector<int32_t>& ids, const GenerateOptions& options = {}) {
    return start(options, [&](const glimmer_generate_options* o, glimmer_generation** out) {
      return glimmer_complete_ids(handle_.get(), ids.data(), ids.size(), o, out);
    });
  }
  Generation chat(std::string_view json, const GenerateOptions& options = {}) {
    return start(options, [&](const glimmer_generate_options* o, glimmer_generation** out) {
      return glimmer_chat(handle_.get(), json.data(), json.size(), o, out);
    });
  }

 private:
  template <typename Call>
  static Generation start(const GenerateOptions& options, const Call& call) {
    glimmer_generate_options c;
    glimmer_generate_options_init(&c);
    c.max_tokens = options.max_tokens.value_or(c.max_tokens);
    c.temperature = options.temperature.value_or(c.temperature);
    c.top_p = options.top_p.value_or(c.top_p);
    c.min_p = options.min_p.value_or(c.min_p);
    c.top_k = options.top_k.value_or(c.top_k);
    c.repetition_penalty = options.repetition_penalty.value_or(c.repetition_penalty);
    c.presence_penalty = options.presence_penalty;
    c.frequency_penalty = options.frequency_penalty;
    c.seed = options.seed.value_or(c.seed);
    c.ignore_eos = options.ignore_eos ? 1 : 0;
    std::vector<const char*> stop;
    for (const std::string& text : options.stop) stop.push_back(text.c_str());
    c.stop = stop.data();
    c.stop_count = stop.size();
    glimmer_generation* handle = nullptr;
    detail::check(call(&c, &handle));
    return Generation(handle);
  }

  struct Free {
    void operator()(glimmer_model* handle) const { glimmer_model_free(handle); }
  };
  std::unique_ptr<glimmer_model, Free> handle_;
};

}  // namespace glimmer

// Runs the steps of a model: all that the engine, the generator and the evaluation know of the machines that do it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>

#include "base/thread_pool.h"
#include "model/forward.h"

namespace glimmer {

class Runner {
 public:
  virtual ~Runner() = default;

  virtual const ModelConfig& config() const = 0;
  virtual int64_t chunk_tokens() const = 0;  // the most that run() takes at once
  virtual KvType kv_type() const = 0;        // of the caches that it is given, unless another is asked for
  // Bytes that one decode step at position `position` reads: active weights and the KV cache of this type.
  virtual int64_t active_bytes(int64_t position, KvType type) const = 0;
  // Pages for the caches that it runs, in the memory of its machines, which must outlive them; and the bytes of one.
  virtual std::shared_ptr<KvPool> make_pool(KvType type, int64_t max_pages) = 0;
  virtual int64_t page_bytes(KvType type) const = 0;
  // A cache for one sequence as long as the model's context.
  KvCache make_cache(KvType type);
  KvCache make_cache() { return make_cache(kv_type()); }
  // Threads that are idle between steps, for what is done with logits.
  virtual ThreadPool& pool() = 0;

  // As the functions of Forward.
  virtual void run(std::span<const SequenceTokens> batch) = 0;
  virtual ConstTensorView logits() = 0;
  virtual ConstTensorView logits_of_tokens(int64_t first, int64_t count) = 0;
  // run() of one sequence, and the logits of the last `logits_rows` of its tokens.
  ConstTensorView run(std::span<const int32_t> tokens, KvCache& kv, int64_t logits_rows);

  // May become true at any time, from any thread or signal handler; looked at between layers, so that run() throws
  // kCancelled. Null: never. Must outlive the runner, or be set to null before.
  virtual void set_cancelled(const std::atomic<bool>* cancelled) = 0;
};

}  // namespace glimmer

// Runs steps in this process, on the context's device.
#pragma once

#include "engine/runner.h"

namespace glimmer {

class LocalRunner final : public Runner {
 public:
  // As Forward's. Model and context must outlive the runner, and no one else may use the context meanwhile.
  LocalRunner(const Model& model, Context& context, int64_t chunk_tokens = Forward::kDefaultChunkTokens);

  const ModelConfig& config() const override { return forward_.model().config(); }
  int64_t chunk_tokens() const override { return forward_.chunk_tokens(); }
  KvType kv_type() const override { return context_.kv_type(); }
  int64_t active_bytes(int64_t position, KvType type) const override { return forward_.active_bytes(position, type); }
  std::shared_ptr<KvPool> make_pool(KvType type, int64_t max_pages) override {
    return std::make_shared<KvPool>(config(), type, max_pages, context_.device().memory());
  }
  int64_t page_bytes(KvType type) const override { return KvPool::page_bytes(config(), type); }
  ThreadPool& pool() override { return context_.pool(); }

  using Runner::run;
  void run(std::span<const SequenceTokens> batch) override { forward_.run(batch); }
  ConstTensorView logits() override { return forward_.logits(); }
  ConstTensorView logits_of_tokens(int64_t first, int64_t count) override {
    return forward_.logits_of_tokens(first, count);
  }

  void set_cancelled(const std::atomic<bool>* cancelled) override { context_.set_cancelled(cancelled); }

 private:
  Context& context_;
  Forward forward_;
};

}  // namespace glimmer

// Runs steps on all ranks of a group, each of which holds its share of one model (model/placement.h). Rank 0 has the
// sequences and decides; the others follow.
#pragma once

#include <functional>
#include <map>
#include <memory>

#include "comm/group.h"
#include "engine/group_message.h"
#include "engine/runner.h"

namespace glimmer {

// On rank 0. Pages have the same numbers on all ranks, so that a step is a message of tokens, positions and page
// numbers. Whatever fails here or there ends the group: no rank can go on without the others.
class GroupRunner final : public Runner {
 public:
  // `world`: all ranks, the others in follow(). Otherwise as LocalRunner.
  GroupRunner(const Model& model, Context& context, comm::Group& world,
              int64_t chunk_tokens = Forward::kDefaultChunkTokens);
  ~GroupRunner() override;  // ends the others' follow()

  const ModelConfig& config() const override { return forward_.model().config(); }
  int64_t chunk_tokens() const override { return forward_.chunk_tokens(); }
  KvType kv_type() const override { return context_.kv_type(); }
  int64_t active_bytes(int64_t position, KvType type) const override { return forward_.active_bytes(position, type); }
  // The pool must be gone before the runner is.
  std::shared_ptr<KvPool> make_pool(KvType type, int64_t max_pages) override;
  int64_t page_bytes(KvType type) const override;  // of this rank's share
  ThreadPool& pool() override { return context_.pool(); }

  using Runner::run;
  void run(std::span<const SequenceTokens> batch) override;
  ConstTensorView logits() override;
  ConstTensorView logits_of_tokens(int64_t first, int64_t count) override;

  // Looked at between steps: within one, no rank may stop alone.
  void set_cancelled(const std::atomic<bool>* cancelled) override { cancelled_ = cancelled; }

 private:
  class Followers;

  void tell(const GroupMessage& message);
  void together(const std::function<void()>& body);
  ConstTensorView logits_of_rows(std::span<const int64_t> rows);

  Context& context_;
  comm::Group& world_;
  Forward forward_;
  int64_t pools_made_ = 0;
  std::map<const KvPool*, int64_t> pool_numbers_;
  Tensor received_logits_;  // where the last stage is another rank's
  const std::atomic<bool>* cancelled_ = nullptr;
};

// On the other ranks: does what rank 0's runner says until it is gone. Throws what fails here, having told the others,
// and kPeer when another rank fails.
void follow(const Model& model, Context& context, comm::Group& world,
            int64_t chunk_tokens = Forward::kDefaultChunkTokens);

}  // namespace glimmer

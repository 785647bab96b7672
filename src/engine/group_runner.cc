#include "engine/group_runner.h"

#include <numeric>

#include "base/check.h"
#include "base/error.h"

namespace glimmer {
namespace {

constexpr comm::Exchange kStep{"step"};
constexpr comm::Exchange kLogits{"logits of the last stage"};

KvMemory share_of_pages(const Model& model, Context& context, KvType type, int64_t max_pages) {
  return KvMemory(context.device().memory(), kv_layout_of(model.config(), type, model.placement()),
                  model.placement().layers().size(), max_pages);
}

int first_rank_of_last_stage(const Placement& placement) { return (placement.form.pp - 1) * placement.form.tp; }

// A rank's side of what rank 0 says.
class Follower {
 public:
  Follower(const Model& model, Context& context, comm::Group& world, int64_t chunk_tokens)
      : model_(model), context_(context), world_(world), forward_(model, context, chunk_tokens, world) {}

  void run() {
    for (;;) {
      std::vector<std::byte> bytes;
      world_.broadcast(kStep, 0, bytes);
      message_ = GroupMessage::decode(bytes);
      if (message_.kind == GroupMessage::Kind::kEnd) return;
      obey();
    }
  }

 private:
  void obey() {
    switch (message_.kind) {
      case GroupMessage::Kind::kMakePool:
        pools_.emplace(message_.pool, share_of_pages(model_, context_, message_.kv_type, message_.max_pages));
        break;
      case GroupMessage::Kind::kDropPool:
        pools_.erase(message_.pool);
        break;
      case GroupMessage::Kind::kCopyRows:
        provide(message_.to);
        pool().copy_rows(message_.from, message_.tokens, message_.to);
        break;
      case GroupMessage::Kind::kRun:
        batch_ = std::move(message_);
        for (const BatchSequence& s : batch_.batch.sequences) {
          for (const PageId page : s.pages) pool_of(batch_).provide(page);
        }
        forward_.run(batch_.batch, pool_of(batch_));
        break;
      case GroupMessage::Kind::kLogits:
        logits();
        break;
      case GroupMessage::Kind::kEnd:
        break;
    }
  }

  void logits() {
    const Placement& placement = model_.placement();
    if (!placement.is_last_stage()) return;
    const ConstTensorView logits = forward_.logits_of_rows(message_.rows);
    if (placement.is_first_stage() || placement.stage_rank() != 0) return;
    world_.send(kLogits, {static_cast<const std::byte*>(logits.data), logits.size_bytes()}, 0);
  }

  KvMemory& pool_of(const GroupMessage& message) {
    const auto found = pools_.find(message.pool);
    if (found == pools_.end()) fail(ErrorCode::kInvalid, "rank 0 uses pool {}, which is not there", message.pool);
    return found->second;
  }
  KvMemory& pool() { return pool_of(message_); }
  void provide(PageId page) { pool().provide(page); }

  const Model& model_;
  Context& context_;
  comm::Group& world_;
  Forward forward_;
  std::map<int64_t, KvMemory> pools_;
  GroupMessage message_;
  GroupMessage batch_;  // that ran last
};

}  // namespace

// The other ranks' shares of a pool's pages.
class GroupRunner::Followers final : public KvFollowers {
 public:
  Followers(GroupRunner& runner, int64_t pool) : runner_(runner), pool_(pool) {}
  ~Followers() override {
    try {
      GroupMessage message;
      message.kind = GroupMessage::Kind::kDropPool;
      message.pool = pool_;
      runner_.tell(message);
    } catch (const std::exception&) {  // the group has ended, and with it the pool
    }
  }

  void copy_rows(PageId from, int64_t tokens, PageId to) override {
    GroupMessage message;
    message.kind = GroupMessage::Kind::kCopyRows;
    message.pool = pool_;
    message.from = from;
    message.to = to;
    message.tokens = tokens;
    runner_.tell(message);
  }

 private:
  GroupRunner& runner_;
  int64_t pool_;
};

GroupRunner::GroupRunner(const Model& model, Context& context, comm::Group& world, int64_t chunk_tokens)
    : context_(context), world_(world), forward_(model, context, chunk_tokens, world) {
  GLIMMER_CHECK(world.rank() == 0 && world.size() == model.placement().form.ranks() && model.placement().rank == 0,
                "rank {} of {} runs rank {} of {}", world.rank(), world.size(), model.placement().rank,
                model.placement().form.ranks());
}

GroupRunner::~GroupRunner() {
  try {
    tell({});
  } catch (const std::exception&) {  // the others have ended before us
  }
}

void GroupRunner::tell(const GroupMessage& message) {
  std::vector<std::byte> bytes = message.encode();
  world_.broadcast(kStep, 0, bytes);
}

// What runs on all ranks at once; should it fail here, the others must not wait.
void GroupRunner::together(const std::function<void()>& body) {
  try {
    body();
  } catch (const std::exception& error) {
    world_.fail(error.what());
    throw;
  }
}

std::shared_ptr<KvPool> GroupRunner::make_pool(KvType type, int64_t max_pages) {
  GroupMessage message;
  message.kind = GroupMessage::Kind::kMakePool;
  message.pool = pools_made_++;
  message.kv_type = type;
  message.max_pages = max_pages;
  auto pool = std::make_shared<KvPool>(share_of_pages(forward_.model(), context_, type, max_pages),
                                       std::make_shared<Followers>(*this, message.pool));
  pool_numbers_[pool.get()] = message.pool;
  tell(message);
  return pool;
}

int64_t GroupRunner::page_bytes(KvType type) const {
  const int64_t token_bytes = KvCache::bytes_per_token(config(), type, forward_.model().placement());
  return std::max<int64_t>(1, token_bytes * KvPool::kPageTokens);  // a rank without heads keeps nothing
}

void GroupRunner::run(std::span<const SequenceTokens> sequences) {
  if (cancelled_ != nullptr && cancelled_->load(std::memory_order_relaxed)) fail(ErrorCode::kCancelled, "interrupted");
  const KvPool& pool = sequences.front().kv->pool();
  const auto number = pool_numbers_.find(&pool);
  GLIMMER_CHECK(number != pool_numbers_.end(), "a cache of another runner's pool");
  GroupMessage message;
  message.kind = GroupMessage::Kind::kRun;
  message.pool = number->second;
  message.batch = forward_.describe(sequences);
  together([&] {
    tell(message);
    forward_.run(forward_.batch(), pool.share());
  });
  for (const SequenceTokens& s : sequences) s.kv->append(static_cast<int64_t>(s.tokens.size()));
}

ConstTensorView GroupRunner::logits() { return logits_of_rows(forward_.logits_rows()); }

ConstTensorView GroupRunner::logits_of_tokens(int64_t first, int64_t count) {
  std::vector<int64_t> rows(static_cast<size_t>(count));
  std::iota(rows.begin(), rows.end(), first);
  return logits_of_rows(rows);
}

ConstTensorView GroupRunner::logits_of_rows(std::span<const int64_t> rows) {
  if (rows.empty()) return {};
  GroupMessage message;
  message.kind = GroupMessage::Kind::kLogits;
  message.rows.assign(rows.begin(), rows.end());
  ConstTensorView logits;
  together([&] {
    tell(message);
    const Placement& placement = forward_.model().placement();
    if (placement.is_last_stage()) {
      logits = forward_.logits_of_rows(message.rows);
      return;
    }
    received_logits_ = Tensor(DType::kF32, {static_cast<int64_t>(rows.size()), config().vocab_size});
    const TensorView received = received_logits_.view();
    world_.receive(kLogits, {static_cast<std::byte*>(received.data), received.size_bytes()},
                   first_rank_of_last_stage(placement));
    logits = received;
  });
  return logits;
}

void follow(const Model& model, Context& context, comm::Group& world, int64_t chunk_tokens) {
  try {
    Follower(model, context, world, chunk_tokens).run();
  } catch (const std::exception& error) {
    world.fail(error.what());
    throw;
  }
}

}  // namespace glimmer

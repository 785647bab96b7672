#include "engine/engine.h"

#include <algorithm>
#include <mutex>
#include <thread>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "base/memory_info.h"
#include "engine/common_prefix.h"
#include "engine/drafter.h"
#include "engine/engine_request.h"
#include "engine/engine_step.h"
#include "engine/kv_store.h"
#include "engine/local_runner.h"
#include "engine/prefix_cache.h"
#include "engine/scheduler.h"

namespace glimmer {
namespace {

using Request = std::shared_ptr<EngineSequence>;

constexpr std::chrono::milliseconds kUpdateInterval(100);  // between updates of the statistics that walk all pages
constexpr std::chrono::milliseconds kMemoryPause(10);      // retry interval when out of memory with no request to end
constexpr int64_t kMostRequests = 1 << 20;                 // whose numbers add up without overflow
constexpr int64_t kReservedRequests = 4096;                // initial capacity of lists, so that they rarely allocate

int64_t pages_of(int64_t tokens) { return (tokens + KvPool::kPageTokens - 1) / KvPool::kPageTokens; }

void check_options(const EngineOptions& options) {
  const auto at_least = [](const char* name, int64_t value, int64_t least) {
    if (value < least) fail(ErrorCode::kUsage, "{} is {}, but must be at least {}", name, value, least);
  };
  const auto at_most = [](const char* name, int64_t value, int64_t most) {
    if (value > most) fail(ErrorCode::kUsage, "{} is {}, but must be at most {}", name, value, most);
  };
  at_least("max_sequences", options.max_sequences, 1);
  at_most("max_sequences", options.max_sequences, kMostRequests);
  at_least("max_waiting", options.max_waiting, 0);
  at_most("max_waiting", options.max_waiting, kMostRequests);
  at_least("chunk_tokens", options.chunk_tokens, 1);
  at_least("idle_chunk_tokens", options.idle_chunk_tokens, 1);
  at_least("kv_bytes", options.kv_bytes, 0);
  at_least("kv_dir_bytes", options.kv_dir_bytes, 1);
  at_least("max_unread_tokens", options.max_unread_tokens, 1);
  at_least("draft_tokens", options.draft_tokens, 1);
  if (!options.kv_dir.empty() && !options.prefix_cache) {
    fail(ErrorCode::kUsage, "kv_dir holds the prefix cache's pages, and there is no prefix cache");
  }
}

// In all, counting shared pages once.
int64_t pages_held_by(const std::vector<Request>& requests) {
  std::vector<PageId> pages;
  for (const Request& request : requests) {
    const std::span<const PageId> its = request->sequence.kv().page_ids();
    pages.insert(pages.end(), its.begin(), its.end());
  }
  std::sort(pages.begin(), pages.end());
  return std::unique(pages.begin(), pages.end()) - pages.begin();
}

int64_t pages_that_fit(const EngineOptions& options, int64_t page_bytes) {
  const int64_t bytes = options.kv_bytes > 0 ? options.kv_bytes : memory_info().available_bytes / 2;
  const int64_t pages = bytes / page_bytes;
  if (pages < 1) {
    fail(ErrorCode::kLimit, "{} bytes for keys and values hold no page: one takes {} bytes ({} tokens)", bytes,
         page_bytes, KvPool::kPageTokens);
  }
  return pages;
}

std::shared_ptr<KvPool> make_pool(Runner& runner, const EngineOptions& options) {
  const KvType type = options.kv_type.value_or(runner.kv_type());
  return runner.make_pool(type, pages_that_fit(options, runner.page_bytes(type)));
}

std::unique_ptr<KvStore> make_store(const EngineOptions& options, const std::shared_ptr<KvPool>& pool) {
  if (options.kv_dir.empty()) return nullptr;
  if (!pool->is_whole()) {
    fail(ErrorCode::kUnsupported, "kv_dir: keys and values that several ranks share cannot be kept on disk");
  }
  const std::string fingerprint = fmt::format("{}|{}", options.kv_fingerprint, static_cast<int>(pool->layout().type));
  return std::make_unique<KvStore>(options.kv_dir, options.kv_dir_bytes, pool, fingerprint);
}

}  // namespace

void Histogram::add(double value) {
  const auto bound = std::lower_bound(kBounds.begin(), kBounds.end(), value);
  ++counts[static_cast<size_t>(bound - kBounds.begin())];
  sum += value;
  ++count;
}

class Engine::Impl {
 public:
  Impl(std::unique_ptr<Runner> runner, const EngineOptions& options)
      : options_(options),
        runner_(std::move(runner)),
        config_(runner_->config()),
        pool_(make_pool(*runner_, options)),
        store_(make_store(options, pool_)),
        cache_(pool_, store_.get()),
        step_(*runner_) {
    stats_.pages_total = pool_->max_pages();
    const int64_t most = std::min(options.max_sequences + options.max_waiting, kReservedRequests);
    for (std::vector<Request>* requests : {&submitted_, &queued_, &waiting_, &running_}) {
      requests->reserve(static_cast<size_t>(most));
    }
    thread_ = std::thread([this] { run(); });
  }

  ~Impl() { stop(); }

  std::shared_ptr<RequestHandle> submit(EngineRequest asked, std::function<void()> notify);

  EngineStats stats() const {
    const std::lock_guard lock(mutex_);
    return stats_;
  }

  int64_t max_context_tokens() const {
    return std::min(config_.max_position_embeddings, pool_->max_pages() * KvPool::kPageTokens);
  }

  void drain() {
    const std::lock_guard lock(mutex_);
    draining_ = true;
  }

  bool idle() const {
    const std::lock_guard lock(mutex_);
    return alive_ == 0;
  }

  void stop() {
    {
      const std::lock_guard lock(mutex_);
      draining_ = true;
      stopping_ = true;
    }
    bell_->ring();
    if (thread_.joinable()) thread_.join();
  }

 private:
  void run() noexcept;
  void round();
  void give_way(const std::exception_ptr& error) noexcept;
  bool take_submitted();
  bool is_full() const;
  void displace_for(const EngineSequence& newcomer);
  void leave(const EngineSequence& request);
  void end_unwanted();
  void rest();
  void admit();
  bool begin(const Request& request);
  void resume(const Request& request);
  bool waits_for_prefix(const EngineSequence& request, int64_t cached_tokens) const;
  int64_t committed_pages() const;
  void count_rest(EngineSequence& request, bool rests);
  std::vector<EngineShare> plan_step() const;
  void add_drafts(std::vector<EngineShare>& shares);
  void make_room(std::vector<EngineShare>& shares);
  bool free_pages(int64_t pages, const SchedulerRank& rank);
  void preempt(const Request& request);
  void step(const std::vector<EngineShare>& shares);
  void fail_step(const std::vector<EngineShare>& shares, const std::exception_ptr& error) noexcept;
  void settle(const EngineShare& share, EngineOutcome outcome);
  void publish(const Request& request, std::vector<GeneratedToken> tokens);
  void keep_prefix(EngineSequence& request) noexcept;
  void end(const Request& request, std::optional<FinishReason> reason, std::exception_ptr error) noexcept;
  void update_stats() noexcept;

  const EngineOptions options_;
  const std::unique_ptr<Runner> runner_;
  const ModelConfig& config_;
  const std::shared_ptr<Bell> bell_ = std::make_shared<Bell>();

  // The engine's thread only.
  std::shared_ptr<KvPool> pool_;
  std::unique_ptr<KvStore> store_;
  PrefixCache cache_;
  EngineStep step_;
  std::vector<Request> waiting_;  // submitted or preempted
  std::vector<Request> running_;
  std::vector<Request> resting_;  // paused: they keep their pages, but have no place in the batch
  TenantLedger ledger_;
  EngineSequence::Clock::time_point last_update_;

  mutable std::mutex mutex_;  // guards what follows
  std::vector<Request> submitted_;
  std::vector<Request> queued_;     // that never ran, so may be displaced
  std::vector<Request> displaced_;  // that are to end
  int64_t alive_ = 0;               // submitted and not ended
  TenantCounts alive_of_;           // the same, of each tenant
  int64_t arrivals_ = 0;
  bool draining_ = false;
  bool stopping_ = false;
  EngineStats stats_;

  std::thread thread_;
};

// ---- any thread ----

std::shared_ptr<RequestHandle> Engine::Impl::submit(EngineRequest asked, std::function<void()> notify) {
  for (const int logprobs : {asked.top_logprobs, asked.prompt_logprobs}) {
    if (logprobs >= -1 && logprobs <= 20) continue;
    fail(ErrorCode::kUsage, "top_logprobs is {}, but must be in [0, 20], or -1 for none", logprobs);
  }
  auto request = std::make_shared<EngineSequence>(asked, std::move(notify), config_, pool_, bell_);
  request->max_unread_tokens = options_.max_unread_tokens;
  const auto prompt_tokens = static_cast<int64_t>(asked.prompt.size());
  const int64_t context = max_context_tokens();
  GenerationOptions generation = asked.generation;
  generation.runs_prompt = asked.prompt_logprobs >= 0;
  if (prompt_tokens < config_.max_position_embeddings && prompt_tokens >= context) {
    fail(ErrorCode::kLimit, "the prompt has {} tokens, but all pages of keys and values hold {}: give them more memory",
         prompt_tokens, context);
  }
  const int64_t room = std::max<int64_t>(0, context - prompt_tokens);
  generation.max_new_tokens = std::min(generation.max_new_tokens.value_or(room), room);  // negative ones are refused
  request->sequence.start(std::move(asked.prompt), generation);

  const std::lock_guard lock(mutex_);
  if (draining_) throw Overloaded(ErrorCode::kLimit, "the engine is shutting down");
  request->rank.arrival = ++arrivals_;
  if (is_full()) displace_for(*request);
  queued_.reserve(queued_.size() + 1);
  submitted_.reserve(submitted_.size() + 1);
  ++alive_of_[request->tenant];
  queued_.push_back(request);
  submitted_.push_back(request);
  ++alive_;
  bell_->ring();
  return request;
}

// Paused requests do not count towards the queue, up to as many again. The lock is held, here and below.
bool Engine::Impl::is_full() const {
  const int64_t most = options_.max_sequences + options_.max_waiting;
  return alive_ - std::min(stats_.resting, most) >= most;
}

void Engine::Impl::displace_for(const EngineSequence& newcomer) {
  std::vector<WaitingRequest> queued;
  for (const Request& request : queued_) queued.push_back({request->rank, request->tenant});
  const auto index = next_to_displace(queued, alive_of_, {newcomer.rank, newcomer.tenant});
  ++stats_.requests_refused;
  if (!index) throw Overloaded(ErrorCode::kLimit, fmt::format("{} requests run or wait already", alive_));
  const auto found = queued_.begin() + static_cast<int64_t>(*index);
  displaced_.push_back(*found);
  (*found)->is_displaced = true;
  leave(**found);
  queued_.erase(found);
}

void Engine::Impl::leave(const EngineSequence& request) {
  --alive_;
  const auto found = alive_of_.find(request.tenant);
  if (--found->second == 0) alive_of_.erase(found);
}

// ---- the engine's thread ----

// Anything that runs out of memory leaves its state unchanged, so that another round can begin.
void Engine::Impl::run() noexcept {
  for (bool goes_on = true; goes_on;) {
    try {
      goes_on = take_submitted();
      if (goes_on) round();
    } catch (...) {
      give_way(std::current_exception());
    }
  }
  for (std::vector<Request>* requests : {&waiting_, &running_, &resting_}) {
    while (!requests->empty()) end(Request(requests->back()), FinishReason::kCancelled, nullptr);
  }
  update_stats();
  if (!store_) return;
  try {
    store_->finish();
    while (cache_.evict()) continue;  // spills to the store what is not there yet
  } catch (const std::exception& error) {
    log_warning("not all keys and values could be kept: {}", error.what());
  }
}

void Engine::Impl::round() {
  end_unwanted();
  rest();
  admit();
  std::vector<EngineShare> shares = plan_step();
  if (shares.empty()) {
    update_stats();
    bell_->wait();
    return;
  }
  add_drafts(shares);
  make_room(shares);
  if (!shares.empty()) step(shares);
  if (EngineSequence::Clock::now() - last_update_ > kUpdateInterval) update_stats();
}

// Ends the request of lowest rank, to free its memory for the others.
void Engine::Impl::give_way(const std::exception_ptr& error) noexcept {
  const std::vector<Request>& requests = !resting_.empty() ? resting_ : !running_.empty() ? running_ : waiting_;
  if (requests.empty()) return std::this_thread::sleep_for(kMemoryPause);
  const auto last = std::max_element(requests.begin(), requests.end(),
                                     [](const Request& a, const Request& b) { return a->rank.before(b->rank); });
  end(Request(*last), std::nullopt, error);
}

bool Engine::Impl::take_submitted() {
  std::vector<Request> displaced;
  bool goes_on = true;
  {
    const std::lock_guard lock(mutex_);
    waiting_.insert(waiting_.end(), submitted_.begin(), submitted_.end());
    submitted_.clear();
    displaced.swap(displaced_);
    goes_on = !stopping_;
  }
  for (const Request& request : displaced) {
    if (std::find(waiting_.begin(), waiting_.end(), request) == waiting_.end()) continue;  // cancelled meanwhile
    end(request, std::nullopt,
        std::make_exception_ptr(Overloaded(ErrorCode::kLimit, "the queue is full, and others have less of it")));
  }
  return goes_on;
}

void Engine::Impl::end_unwanted() {
  for (const std::vector<Request>& requests : {waiting_, running_, resting_}) {
    for (const Request& request : requests) {
      if (const auto reason = request->wanted_finish()) {
        end(request, reason, nullptr);
      } else if (request->sequence.finished()) {  // before it began: max_new_tokens is 0
        end(request, request->sequence.finish_reason(), nullptr);
      }
    }
  }
}

// Pages that prompts in prefill will still take.
int64_t Engine::Impl::committed_pages() const {
  int64_t pages = 0;
  for (const Request& request : running_) {
    const Sequence& sequence = request->sequence;
    pages += sequence.kv().pages_to_reserve(static_cast<int64_t>(sequence.tokens().size()) + 1);
  }
  return pages;
}

// A request whose reader takes nothing loses its place in the batch; it keeps its pages until others need them.
void Engine::Impl::rest() {
  for (const Request& request : std::vector(running_)) {
    if (!request->rests()) continue;
    resting_.push_back(request);
    std::erase(running_, request);
    ledger_.ended(request->tenant);
    count_rest(*request, true);
  }
}

void Engine::Impl::count_rest(EngineSequence& request, bool rests) {
  if (std::exchange(request.has_rested, rests) == rests) return;
  const std::lock_guard lock(mutex_);
  stats_.resting += rests ? 1 : -1;
}

// Whether another sequence is computing a prefix of this one, which is worth waiting for.
bool Engine::Impl::waits_for_prefix(const EngineSequence& request, int64_t cached_tokens) const {
  if (!options_.prefix_cache || request.cacheable_tokens() <= cached_tokens) return false;
  return std::any_of(running_.begin(), running_.end(), [&](const Request& other) {
    const Sequence& sequence = other->sequence;
    if (other->cache_scope != request.cache_scope || !sequence.generated().empty()) return false;
    const auto common = static_cast<int64_t>(common_prefix(sequence.tokens(), request.sequence.tokens()));
    return common >= cached_tokens + KvPool::kPageTokens;
  });
}

// Whether it may run for the first time: it has not been displaced.
bool Engine::Impl::begin(const Request& request) {
  const std::lock_guard lock(mutex_);
  return std::erase(queued_, request) > 0;
}

// Gives it a place in the batch.
void Engine::Impl::resume(const Request& request) {
  running_.reserve(running_.size() + 1);
  ledger_.started(request->tenant);  // if out of memory, nothing has changed
  std::erase(waiting_, request);
  std::erase(resting_, request);
  running_.push_back(request);
  count_rest(*request, false);
}

void Engine::Impl::admit() {
  std::vector<Request> candidates = resting_;
  candidates.insert(candidates.end(), waiting_.begin(), waiting_.end());
  std::erase_if(candidates, [](const Request& request) { return request->rests(); });
  const auto has_pages = [&](const Request& request) {
    return std::find(resting_.begin(), resting_.end(), request) != resting_.end();
  };
  while (!candidates.empty() && static_cast<int64_t>(running_.size()) < options_.max_sequences) {
    std::vector<WaitingRequest> demands;
    for (const Request& request : candidates) demands.push_back({request->rank, request->tenant});
    const size_t index = next_to_admit(demands, ledger_);
    const Request request = candidates[index];
    candidates.erase(candidates.begin() + static_cast<int64_t>(index));
    if (has_pages(request)) {
      resume(request);
      continue;
    }
    Sequence& sequence = request->sequence;
    const auto known = sequence.tokens().first(static_cast<size_t>(request->cacheable_tokens()));
    const int64_t matched = options_.prefix_cache ? cache_.match(request->cache_scope, known) : 0;
    if (waits_for_prefix(*request, matched)) continue;
    const int64_t available = pool_->max_pages() - pages_held_by(running_) - committed_pages();
    if (!running_.empty() && pages_of(static_cast<int64_t>(sequence.tokens().size()) + 1) > available) {
      std::erase_if(candidates, [&](const Request& other) { return !has_pages(other); });
      continue;
    }
    const bool is_new = !request->has_started();
    PrefixCache::Hit hit;
    if (options_.prefix_cache) hit = cache_.take(request->cache_scope, known);
    if (is_new && !begin(request)) continue;
    try {
      resume(request);
    } catch (const std::exception&) {  // memory is out
      end(request, std::nullopt, std::current_exception());
      continue;
    }
    request->started(hit.tokens);
    sequence.kv().adopt(std::move(hit.pages), hit.tokens);
    if (!is_new) continue;
    const std::lock_guard lock(mutex_);
    stats_.queue_s.add(request->usage().queue_s);
    stats_.prompt_tokens += sequence.prompt_count();
    stats_.cached_tokens += hit.tokens;
  }
}

std::vector<EngineShare> Engine::Impl::plan_step() const {
  std::vector<EngineShare> shares;
  std::vector<Request> prompts;
  std::vector<PromptDemand> demands;
  for (const Request& request : running_) {
    const int64_t pending = request->sequence.pending_count();
    if (pending > 1) {
      prompts.push_back(request);
      demands.push_back({request->rank, pending});
    } else {
      shares.push_back({request, pending});
    }
  }
  const std::vector<int64_t> tokens =
      share_chunk(demands, shares.empty() ? options_.idle_chunk_tokens : options_.chunk_tokens);
  for (size_t i = 0; i < prompts.size(); ++i) {
    if (tokens[i] > 0) shares.push_back({prompts[i], tokens[i]});
  }
  std::sort(shares.begin(), shares.end(),
            [](const EngineShare& a, const EngineShare& b) { return a.request->rank.before(b.request->rank); });
  return shares;
}

// Drafts take no page that the one token would not.
void Engine::Impl::add_drafts(std::vector<EngineShare>& shares) {
  if (!options_.drafter) return;
  for (EngineShare& share : shares) {
    Sequence& sequence = share.request->sequence;
    if (sequence.pending_count() != 1) continue;
    const int64_t page_room = KvPool::kPageTokens - 1 - sequence.kv().size_tokens() % KvPool::kPageTokens;
    draft(*options_.drafter, sequence, std::min(options_.draft_tokens, page_room));
    share.tokens = sequence.pending_count();
  }
}

// Reserves the pages of a step, best rank first. A request that finds none gives back its own.
void Engine::Impl::make_room(std::vector<EngineShare>& shares) {
  std::vector<EngineShare> kept;
  for (const EngineShare& share : shares) {
    if (std::find(running_.begin(), running_.end(), share.request) == running_.end()) continue;  // it was preempted
    KvCache& kv = share.request->sequence.kv();
    const int64_t tokens = kv.size_tokens() + share.tokens;
    try {
      if (!free_pages(kv.pages_to_reserve(tokens), share.request->rank)) {
        preempt(share.request);
        continue;
      }
      kv.reserve(tokens);
      kept.push_back(share);
    } catch (const std::exception&) {  // memory is out
      end(share.request, std::nullopt, std::current_exception());
    }
  }
  shares = std::move(kept);
}

// Frees so many pages: from the prefix cache, then from paused sequences, then from those of lower rank.
bool Engine::Impl::free_pages(int64_t pages, const SchedulerRank& rank) {
  while (pool_->free_pages() < pages) {
    if (cache_.evict()) continue;
    if (store_ && store_->finish()) continue;
    const auto by_rank = [](const Request& a, const Request& b) { return a->rank.before(b->rank); };
    if (!resting_.empty()) {
      preempt(Request(*std::max_element(resting_.begin(), resting_.end(), by_rank)));
      continue;
    }
    const auto last = std::max_element(running_.begin(), running_.end(), by_rank);
    if (last == running_.end() || !rank.before((*last)->rank)) return false;
    preempt(Request(*last));
  }
  return true;
}

void Engine::Impl::preempt(const Request& request) {
  waiting_.reserve(waiting_.size() + 1);
  request->sequence.drop_drafts();
  keep_prefix(*request);
  request->sequence.kv().clear();
  if (std::erase(running_, request) > 0) ledger_.ended(request->tenant);
  std::erase(resting_, request);
  waiting_.push_back(request);
  const std::lock_guard lock(mutex_);
  ++stats_.preemptions;
}

void Engine::Impl::keep_prefix(EngineSequence& request) noexcept {
  if (!options_.prefix_cache) return;
  try {
    cache_.insert(request.cache_scope, request.sequence.tokens(), request.sequence.kv());
  } catch (const std::exception&) {  // no memory: as much as it has room for
  }
}

void Engine::Impl::step(const std::vector<EngineShare>& shares) {
  const auto start = EngineSequence::Clock::now();
  try {
    std::vector<EngineOutcome> outcomes = step_.run(shares);
    for (size_t i = 0; i < shares.size(); ++i) settle(shares[i], std::move(outcomes[i]));
  } catch (...) {
    fail_step(shares, std::current_exception());
  }
  const std::lock_guard lock(mutex_);
  ++stats_.steps;
  stats_.batch_sequences += static_cast<int64_t>(shares.size());
  for (const EngineShare& share : shares) stats_.batch_tokens += share.tokens;
  stats_.step_s.add(std::chrono::duration<double>(EngineSequence::Clock::now() - start).count());
}

// Fails all unfinished requests of a failed step: their caches are incomplete.
void Engine::Impl::fail_step(const std::vector<EngineShare>& shares, const std::exception_ptr& error) noexcept {
  for (const EngineShare& share : shares) {
    const bool runs = std::find(running_.begin(), running_.end(), share.request) != running_.end();
    if (runs) end(share.request, std::nullopt, error);
  }
}

void Engine::Impl::settle(const EngineShare& share, EngineOutcome outcome) {
  const Request& request = share.request;
  ledger_.served(request->tenant, share.tokens);
  if (outcome.error) {
    end(request, std::nullopt, outcome.error);
  } else if (outcome.is_ready && !request->sequence.generates()) {
    end(request, FinishReason::kLength, nullptr);
  } else if (outcome.is_ready) {
    publish(request, std::move(outcome.tokens));
  }
}

void Engine::Impl::publish(const Request& request, std::vector<GeneratedToken> tokens) {
  const Sequence& sequence = request->sequence;
  const size_t before = sequence.generated().size() - tokens.size();
  if (before == 0) keep_prefix(*request);  // requests with the same prefix need not wait for its end
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (i + 1 == tokens.size() && sequence.finish_reason() == FinishReason::kStopToken) {
      request->publish_stop_token(std::move(tokens[i]));
      continue;
    }
    const double seconds = request->publish(std::move(tokens[i]));
    const std::lock_guard lock(mutex_);
    (before + i == 0 ? stats_.first_token_s : stats_.between_tokens_s).add(seconds);
  }
  {
    const std::lock_guard lock(mutex_);
    stats_.generated_tokens += static_cast<int64_t>(tokens.size());
  }
  if (sequence.finished()) end(request, sequence.finish_reason(), nullptr);
}

// Pages and counters first, so that they are right when the reader learns of the end.
void Engine::Impl::end(const Request& request, std::optional<FinishReason> reason, std::exception_ptr error) noexcept {
  request->sequence.drop_drafts();
  if (!error) keep_prefix(*request);
  request->sequence.kv().clear();
  if (std::erase(running_, request) > 0) ledger_.ended(request->tenant);
  std::erase(waiting_, request);
  std::erase(resting_, request);
  count_rest(*request, false);
  {
    const std::lock_guard lock(mutex_);
    if (!request->is_displaced) {  // else it has left already, and counts as refused
      std::erase(queued_, request);
      leave(*request);
      ++(error                                ? stats_.requests_failed
         : reason == FinishReason::kCancelled ? stats_.requests_cancelled
                                              : stats_.requests_finished);
    }
  }
  update_stats();
  request->end(reason, std::move(error));
}

void Engine::Impl::update_stats() noexcept {
  last_update_ = EngineSequence::Clock::now();
  int64_t used = 0;
  try {
    std::vector<Request> holders = running_;
    holders.insert(holders.end(), resting_.begin(), resting_.end());
    used = pages_held_by(holders);
  } catch (const std::bad_alloc&) {  // later
    last_update_ = {};
    return;
  }
  const std::lock_guard lock(mutex_);
  stats_.running = static_cast<int64_t>(running_.size());
  stats_.waiting = alive_ - stats_.running - stats_.resting;
  stats_.pages_used = used;
  stats_.pages_cached = pool_->pages() - used;
  if (!store_) return;
  stats_.pages_spilled = store_->written();
  stats_.pages_restored = store_->restored();
  stats_.pages_rejected = store_->rejected();
}

// ---- Engine ----

Engine::Engine(const Model& model, Context& context, const EngineOptions& options)
    : Engine(std::make_unique<LocalRunner>(model, context, step_tokens(options)), options) {}

Engine::Engine(std::unique_ptr<Runner> runner, const EngineOptions& options) {
  const int64_t tokens = step_tokens(options);
  GLIMMER_CHECK(runner->chunk_tokens() >= tokens, "steps of {} tokens, a runner of {}", tokens, runner->chunk_tokens());
  impl_ = std::make_unique<Impl>(std::move(runner), options);
}

int64_t Engine::step_tokens(const EngineOptions& options) {
  check_options(options);
  const int64_t drafts = options.drafter ? options.draft_tokens : 0;
  return std::max(options.idle_chunk_tokens, options.chunk_tokens + options.max_sequences * (1 + drafts));
}

Engine::~Engine() = default;

std::shared_ptr<RequestHandle> Engine::submit(EngineRequest request, std::function<void()> notify) {
  return impl_->submit(std::move(request), std::move(notify));
}
EngineStats Engine::stats() const { return impl_->stats(); }
int64_t Engine::page_tokens() const { return KvPool::kPageTokens; }
int64_t Engine::max_context_tokens() const { return impl_->max_context_tokens(); }
void Engine::drain() { impl_->drain(); }
bool Engine::idle() const { return impl_->idle(); }
void Engine::stop() { impl_->stop(); }

}  // namespace glimmer

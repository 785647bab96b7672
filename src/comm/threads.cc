#include "comm/threads.h"

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <map>
#include <mutex>
#include <system_error>
#include <thread>

#include "base/check.h"
#include "base/error.h"

namespace glimmer::comm {
namespace {

// What a rank brings to a collective call.
struct Offer {
  enum class Kind { kGather, kBroadcast, kSplit };

  Exchange exchange;
  Kind kind = Kind::kGather;
  std::span<const GatherCall> calls;
  int root = 0;
  const std::vector<std::byte>* bytes = nullptr;
  int color = 0;
};

std::string describe(const Offer& offer) {
  switch (offer.kind) {
    case Offer::Kind::kGather:
      return "gathers " + describe(offer.exchange);
    case Offer::Kind::kBroadcast:
      return fmt::format("broadcasts {} from rank {}", describe(offer.exchange), offer.root);
    case Offer::Kind::kSplit:
      return "splits the group";
  }
  return "";
}

bool in_step(const Offer& a, const Offer& b) {
  return a.exchange == b.exchange && a.kind == b.kind && a.root == b.root;
}

// Where the rows lie, and how far apart, is each rank's own affair.
bool have_same_shares(std::span<const GatherCall> a, std::span<const GatherCall> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const GatherCall& x, const GatherCall& y) {
    return x.rows == y.rows && x.bytes_per_unit == y.bytes_per_unit && std::ranges::equal(x.of_rank, y.of_rank);
  });
}

// What a rank does. In a collective call it waits for all ranks, in a message for its peer.
struct Activity {
  enum class Kind { kRuns, kMeets, kSends, kReceives, kLeft };

  Kind kind = Kind::kRuns;
  int peer = 0;
  Exchange exchange;
  std::span<const std::byte> bytes;  // of a message, in the sender's memory until it is taken
};

// Where the ranks of one group meet.
class Place {
 public:
  enum class Kind { kWhole, kPart };

  Place(int size, std::optional<std::chrono::milliseconds> patience, Kind kind)
      : patience_(patience), kind_(kind), offers_(static_cast<size_t>(size)), activities_(static_cast<size_t>(size)) {}

  int size() const { return static_cast<int>(offers_.size()); }
  Kind kind() const { return kind_; }

  // Waits until all have come with an offer, runs `take` with all of them in view, and waits until all have run it:
  // what they offer must live that long, even if the group fails meanwhile.
  template <typename Take>
  void meet(int rank, const Offer& offer, const Take& take) {
    std::unique_lock lock(mutex_);
    throw_if_failed();
    offers_[static_cast<size_t>(rank)] = offer;
    arrive(lock, rank);
    lock.unlock();
    std::exception_ptr error;
    try {
      take();
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    if (--taking_ == 0) changed_.notify_all();
    changed_.wait(lock, [&] { return taking_ == 0; });
    if (error != nullptr) std::rethrow_exception(error);
  }
  // Within `take`.
  const Offer& offer_of(int rank) const { return offers_[static_cast<size_t>(rank)]; }

  void send(int rank, int to, const Exchange& exchange, std::span<const std::byte> bytes) {
    check_peer(rank, to);
    std::unique_lock lock(mutex_);
    throw_if_failed();
    const Activity& own = activity(rank);
    const Ending ending(activity(rank));
    begin(rank, {.kind = Activity::Kind::kSends, .peer = to, .exchange = exchange, .bytes = bytes});
    changed_.notify_all();
    wait(lock, rank, [&] { return own.kind == Activity::Kind::kRuns; });
  }

  void receive(int rank, int from, const Exchange& exchange, std::span<std::byte> bytes) {
    check_peer(rank, from);
    std::unique_lock lock(mutex_);
    throw_if_failed();
    Activity& sender = activity(from);
    const Ending ending(activity(rank));
    begin(rank, {.kind = Activity::Kind::kReceives, .peer = from, .exchange = exchange});
    wait(lock, rank, [&] { return sender.kind == Activity::Kind::kSends && sender.peer == rank; });
    if (sender.exchange != exchange) {
      fail_now(fmt::format("out of step: rank {} {}, which {}", rank, doing(rank), doing(from)));
    }
    if (sender.bytes.size() != bytes.size()) {
      fail_now(fmt::format("{}: rank {} expects {} bytes, rank {} sends {}", describe(exchange), rank, bytes.size(),
                           from, sender.bytes.size()));
    }
    if (!bytes.empty()) std::memcpy(bytes.data(), sender.bytes.data(), bytes.size());
    sender = {};
    changed_.notify_all();
  }

  void fail(int rank, const std::string& message) noexcept {
    const std::lock_guard lock(mutex_);
    mark_failed(rank, message);
  }

  // The rank makes no more calls. Whoever waits for it need not any more.
  void leave(int rank) noexcept {
    const std::lock_guard lock(mutex_);
    activity(rank) = {.kind = Activity::Kind::kLeft};
    try {
      for (int other = 0; other < size(); ++other) {
        if (const std::string stuck = why_stuck(other); !stuck.empty()) mark_failed(kNobody, stuck);
      }
    } catch (const std::exception&) {  // no memory for the text
      mark_failed(rank, "it has left");
    }
  }

  // Of the ranks of one color.
  std::shared_ptr<Place> part(int color, int size) {
    const std::lock_guard lock(mutex_);
    std::shared_ptr<Place>& place = parts_[color];
    if (place == nullptr) {
      place = std::make_shared<Place>(size, patience_, Kind::kPart);
      if (failed_) place->fail(failed_rank_, failure_);
    }
    return place;
  }
  void forget_parts() {
    const std::lock_guard lock(mutex_);
    for (auto& [color, place] : parts_) children_.push_back(place);
    parts_.clear();
  }

 private:
  // However a call ends, the rank runs again and offers no memory. Under the lock.
  class Ending {
   public:
    explicit Ending(Activity& activity) : activity_(activity) {}
    ~Ending() { activity_ = {}; }
    Ending(const Ending&) = delete;
    Ending& operator=(const Ending&) = delete;

   private:
    Activity& activity_;
  };

  static constexpr int kNobody = -1;  // failed by itself: the message says what happened

  Activity& activity(int rank) { return activities_[static_cast<size_t>(rank)]; }
  void check_peer(int rank, int peer) const {
    GLIMMER_CHECK(peer >= 0 && peer < size() && peer != rank, "rank {} and rank {} of {}", rank, peer, size());
  }

  void begin(int rank, const Activity& next) {
    activity(rank) = next;
    if (const std::string stuck = why_stuck(rank); !stuck.empty()) fail_now(stuck);
  }

  void arrive(std::unique_lock<std::mutex>& lock, int rank) {
    const Ending ending(activity(rank));
    begin(rank, {.kind = Activity::Kind::kMeets, .exchange = offer_of(rank).exchange});
    const int64_t round = round_;
    const bool is_last =
        std::ranges::all_of(activities_, [](const Activity& other) { return other.kind == Activity::Kind::kMeets; });
    if (!is_last) return wait(lock, rank, [&] { return round_ != round; });
    check_offers();
    activities_.assign(activities_.size(), {});
    taking_ = size();
    ++round_;
    changed_.notify_all();
  }

  // All ranks have come: that they do the same thing is looked at once, before anyone takes.
  void check_offers() {
    for (int other = 1; other < size(); ++other) {
      const bool same_step = in_step(offer_of(0), offer_of(other));
      if (same_step && have_same_shares(offer_of(0).calls, offer_of(other).calls)) continue;
      // Where a third rank sides with the other one, rank 0 is the odd one.
      const int third = other == 1 ? 2 : 1;
      const bool is_zero = third < size() && in_step(offer_of(other), offer_of(third)) &&
                           have_same_shares(offer_of(other).calls, offer_of(third).calls);
      const int odd = is_zero ? 0 : other;
      const int even = is_zero ? other : 0;
      if (same_step) {
        fail_now(
            fmt::format("out of step: rank {} {} in other shares than rank {}", odd, describe(offer_of(odd)), even));
      }
      fail_now(fmt::format("out of step: rank {} {}, rank {} {}", odd, describe(offer_of(odd)), even,
                           describe(offer_of(even))));
    }
  }

  bool waits_for(int rank, int other) {
    const Activity& own = activity(rank);
    switch (own.kind) {
      case Activity::Kind::kMeets:
        return activity(other).kind != Activity::Kind::kMeets;
      case Activity::Kind::kSends:
      case Activity::Kind::kReceives:
        return own.peer == other && !matches(rank, other);
      case Activity::Kind::kRuns:
      case Activity::Kind::kLeft:
        return false;
    }
    return false;
  }
  // A message between them is on its way: one will find it when it wakes.
  bool matches(int rank, int other) {
    const Activity& a = activity(rank);
    const Activity& b = activity(other);
    const bool opposite = (a.kind == Activity::Kind::kSends && b.kind == Activity::Kind::kReceives) ||
                          (a.kind == Activity::Kind::kReceives && b.kind == Activity::Kind::kSends);
    return opposite && a.peer == other && b.peer == rank;
  }

  // Why the rank's wait can never end: through others it waits for itself, or for a rank that has left. Empty if it
  // can.
  std::string why_stuck(int rank) {
    const bool alike = std::ranges::all_of(activities_, [](const Activity& other) {
      return other.kind == Activity::Kind::kRuns || other.kind == Activity::Kind::kMeets;
    });
    if (alike) return {};  // the usual case
    std::vector<bool> seen(activities_.size());
    std::vector<int> reached = {rank};
    while (!reached.empty()) {
      const int at = reached.back();
      reached.pop_back();
      for (int other = 0; other < size(); ++other) {
        if (!waits_for(at, other)) continue;
        if (activity(other).kind == Activity::Kind::kLeft) {
          return fmt::format("rank {} has left, rank {} {}", other, at, doing(at));
        }
        if (other == rank) return fmt::format("out of step: rank {} {}, rank {} {}", rank, doing(rank), at, doing(at));
        if (seen[static_cast<size_t>(other)]) continue;
        seen[static_cast<size_t>(other)] = true;
        reached.push_back(other);
      }
    }
    return {};
  }

  std::string doing(int rank) {
    const Activity& own = activity(rank);
    switch (own.kind) {
      case Activity::Kind::kMeets:
        return describe(offer_of(rank));
      case Activity::Kind::kSends:
        return fmt::format("sends {} to rank {}", describe(own.exchange), own.peer);
      case Activity::Kind::kReceives:
        return fmt::format("receives {} from rank {}", describe(own.exchange), own.peer);
      case Activity::Kind::kRuns:
        return "runs";
      case Activity::Kind::kLeft:
        return "has left";
    }
    return "";
  }

  template <typename Done>
  void wait(std::unique_lock<std::mutex>& lock, int rank, const Done& done) {
    const auto over = [&] { return failed_ || done(); };
    if (!patience_) {
      changed_.wait(lock, over);
    } else if (!changed_.wait_for(lock, *patience_, over)) {
      mark_failed(kNobody, fmt::format("{}: {} did not come within {} ms", describe(activity(rank).exchange),
                                       missing(rank), patience_->count()));
    }
    if (!done()) throw_if_failed();
  }

  // "rank 1", "ranks 1, 3"
  std::string missing(int rank) {
    std::vector<int> ranks;
    for (int other = 0; other < size(); ++other) {
      if (waits_for(rank, other)) ranks.push_back(other);
    }
    return fmt::format("rank{} {}", ranks.size() == 1 ? "" : "s", fmt::join(ranks, ", "));
  }

  void mark_failed(int rank, const std::string& message) noexcept {
    if (failed_) return;
    failed_ = true;
    failed_rank_ = rank;
    try {
      failure_ = message;
    } catch (...) {  // no memory for the text: the rank's number must do
    }
    for (const auto& child : children_) {
      if (const auto place = child.lock()) place->fail(rank, message);
    }
    changed_.notify_all();
  }
  [[noreturn]] void fail_now(const std::string& message) {
    mark_failed(kNobody, message);
    glimmer::fail(ErrorCode::kPeer, "{}", message);
  }
  void throw_if_failed() const {
    if (!failed_) return;
    if (failed_rank_ == kNobody) glimmer::fail(ErrorCode::kPeer, "{}", failure_);
    glimmer::fail(ErrorCode::kPeer, "rank {} failed: {}", failed_rank_, failure_);
  }

  const std::optional<std::chrono::milliseconds> patience_;
  const Kind kind_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Offer> offers_;
  std::vector<Activity> activities_;
  int taking_ = 0;  // that may still read what others offer
  int64_t round_ = 0;
  std::map<int, std::shared_ptr<Place>> parts_;
  std::vector<std::weak_ptr<Place>> children_;
  bool failed_ = false;
  int failed_rank_ = kNobody;
  std::string failure_;
};

class ThreadGroup final : public Group {
 public:
  ThreadGroup(int rank, std::shared_ptr<Place> place) : rank_(rank), place_(std::move(place)) {}
  // An error that passes by a part of a group comes to the whole one, whose owner knows what it says.
  ~ThreadGroup() override {
    if (std::uncaught_exceptions() == exceptions_) {
      place_->leave(rank_);
    } else if (place_->kind() == Place::Kind::kWhole) {
      place_->fail(rank_, "ended by an error");
    }
  }

  int rank() const override { return rank_; }
  int size() const override { return place_->size(); }

  void gather(const Exchange& exchange, std::span<const GatherCall> calls) override {
    for (const GatherCall& call : calls) {
      GLIMMER_CHECK(static_cast<int>(call.of_rank.size()) == size(), "{}: shares of {} ranks, group of {}",
                    describe(exchange), call.of_rank.size(), size());
    }
    place_->meet(rank_, {.exchange = exchange, .kind = Offer::Kind::kGather, .calls = calls}, [&] {
      for (int other = 0; other < size(); ++other) {
        if (other != rank_) copy_from(other, calls);
      }
    });
  }

  void broadcast(const Exchange& exchange, int root, std::vector<std::byte>& bytes) override {
    GLIMMER_CHECK(root >= 0 && root < size(), "{}: root {} of {} ranks", describe(exchange), root, size());
    place_->meet(rank_, {.exchange = exchange, .kind = Offer::Kind::kBroadcast, .root = root, .bytes = &bytes}, [&] {
      if (rank_ != root) bytes = *place_->offer_of(root).bytes;
    });
  }

  void send(const Exchange& exchange, std::span<const std::byte> bytes, int to) override {
    place_->send(rank_, to, exchange, bytes);
  }
  void receive(const Exchange& exchange, std::span<std::byte> bytes, int from) override {
    place_->receive(rank_, from, exchange, bytes);
  }

  std::unique_ptr<Group> split(int color) override {
    std::unique_ptr<Group> group;
    place_->meet(rank_, {.exchange = {"split"}, .kind = Offer::Kind::kSplit, .color = color}, [&] {
      int own = 0;
      int count = 0;
      for (int other = 0; other < size(); ++other) {
        if (place_->offer_of(other).color != color) continue;
        if (other == rank_) own = count;
        ++count;
      }
      group = std::make_unique<ThreadGroup>(own, place_->part(color, count));
    });
    place_->meet(rank_, {.exchange = {"split"}, .kind = Offer::Kind::kSplit}, [&] {
      if (rank_ == 0) place_->forget_parts();
    });
    return group;
  }

  void fail(const std::string& message) noexcept override { place_->fail(rank_, message); }

 private:
  // All ranks have the same shares: Place has compared them.
  void copy_from(int other, std::span<const GatherCall> calls) {
    const std::span<const GatherCall> theirs = place_->offer_of(other).calls;
    for (size_t i = 0; i < calls.size(); ++i) {
      const GatherCall& call = calls[i];
      const Range range = call.of_rank[static_cast<size_t>(other)];
      if (range.empty()) continue;
      const int64_t offset = range.begin * call.bytes_per_unit;
      const auto bytes = static_cast<size_t>(range.size() * call.bytes_per_unit);
      for (int64_t row = 0; row < call.rows; ++row) {
        std::memcpy(call.data + row * call.row_bytes + offset, theirs[i].data + row * theirs[i].row_bytes + offset,
                    bytes);
      }
    }
  }

  int rank_;
  std::shared_ptr<Place> place_;
  int exceptions_ = std::uncaught_exceptions();
};

// The errors of ranks that run at once, in the order in which they came.
class RankErrors {
 public:
  enum class Of { kRank, kPeer };

  explicit RankErrors(size_t ranks) { errors_.reserve(ranks); }
  // Before the rank's group fails: what others then say of it comes later.
  void add(std::exception_ptr error, Of of) {
    const std::lock_guard lock(mutex_);
    errors_.emplace_back(std::move(error), of);
  }
  // A rank's own error rather than what others say of it. Once all ranks have ended.
  void rethrow() const {
    if (errors_.empty()) return;
    const auto own = std::ranges::find(errors_, Of::kRank, &std::pair<std::exception_ptr, Of>::second);
    std::rethrow_exception((own == errors_.end() ? errors_.begin() : own)->first);
  }

 private:
  std::mutex mutex_;
  std::vector<std::pair<std::exception_ptr, Of>> errors_;
};

// Runs `rank` with a group that ends with it.
void run_rank(std::unique_ptr<Group> group, const std::function<void(Group&)>& rank, RankErrors& errors) {
  try {
    rank(*group);
  } catch (const Error& error) {
    errors.add(std::current_exception(),
               error.code() == ErrorCode::kPeer ? RankErrors::Of::kPeer : RankErrors::Of::kRank);
    group->fail(error.what());
  } catch (const std::exception& error) {
    errors.add(std::current_exception(), RankErrors::Of::kRank);
    group->fail(error.what());
  } catch (...) {
    errors.add(std::current_exception(), RankErrors::Of::kRank);
    group->fail("an exception that says nothing");
  }
}

}  // namespace

std::vector<std::unique_ptr<Group>> make_thread_groups(int size, std::optional<std::chrono::milliseconds> patience) {
  GLIMMER_CHECK(size >= 1, "{} ranks", size);
  const auto place = std::make_shared<Place>(size, patience, Place::Kind::kWhole);
  std::vector<std::unique_ptr<Group>> groups;
  for (int rank = 0; rank < size; ++rank) groups.push_back(std::make_unique<ThreadGroup>(rank, place));
  return groups;
}

void run_ranks(int size, const std::function<void(Group&)>& rank) {
  std::vector<std::unique_ptr<Group>> groups = make_thread_groups(size);
  RankErrors errors(groups.size());
  std::vector<std::thread> threads;
  threads.reserve(groups.size());
  for (std::unique_ptr<Group>& group : groups) {
    try {
      threads.emplace_back([&rank, &errors, &group] { run_rank(std::move(group), rank, errors); });
    } catch (const std::system_error& error) {
      const std::string message = fmt::format("cannot start the thread of rank {}: {}", threads.size(), error.what());
      errors.add(std::make_exception_ptr(Error(ErrorCode::kMemory, message)), RankErrors::Of::kRank);
      group->fail(message);
      break;
    }
  }
  for (std::thread& thread : threads) thread.join();
  errors.rethrow();
}

}  // namespace glimmer::comm

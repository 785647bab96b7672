#include "comm/threads.h"

#include <condition_variable>
#include <cstring>
#include <exception>
#include <map>
#include <mutex>
#include <thread>

#include "base/check.h"
#include "base/error.h"

namespace glimmer::comm {
namespace {

// What a rank brings to a collective call.
struct Offer {
  Exchange exchange;
  std::span<const GatherCall> calls;
  const std::vector<std::byte>* bytes = nullptr;
  int color = 0;
};

// A message on its way from one rank to another; the receiver copies it from the sender's memory.
struct Message {
  Exchange exchange;
  std::span<const std::byte> bytes;
  bool taken = false;
};

// Where the ranks of one group meet.
class Place {
 public:
  Place(int size, std::optional<std::chrono::milliseconds> patience)
      : patience_(patience), offers_(static_cast<size_t>(size)) {}

  int size() const { return static_cast<int>(offers_.size()); }
  std::optional<std::chrono::milliseconds> patience() const { return patience_; }

  // Waits until all have come with an offer, runs `take` with all of them in view, and waits until all have run it:
  // what they offer must live that long, even if the group fails meanwhile.
  template <typename Take>
  void meet(int rank, const Offer& offer, const Take& take) {
    std::unique_lock lock(mutex_);
    throw_if_failed();
    offers_[static_cast<size_t>(rank)] = offer;
    arrive(lock, rank);
    std::exception_ptr error;
    try {
      for (int other = 0; other < size(); ++other) check_same(offer.exchange, other, offer_of(other).exchange, rank);
      lock.unlock();
      take();
    } catch (...) {
      error = std::current_exception();
    }
    if (!lock.owns_lock()) lock.lock();
    if (--taking_ == 0) changed_.notify_all();
    changed_.wait(lock, [&] { return taking_ == 0; });
    if (error != nullptr) std::rethrow_exception(error);
  }
  // Within `take`.
  const Offer& offer_of(int rank) const { return offers_[static_cast<size_t>(rank)]; }

  void send(int rank, int to, const Exchange& exchange, std::span<const std::byte> bytes) {
    std::unique_lock lock(mutex_);
    throw_if_failed();
    Message message{.exchange = exchange, .bytes = bytes};
    auto& slot = messages_[{rank, to}];
    wait(lock, exchange, to, [&] { return slot == nullptr; });
    slot = &message;
    changed_.notify_all();
    wait(lock, exchange, to, [&] { return message.taken; });
  }

  void receive(int rank, int from, const Exchange& exchange, std::span<std::byte> bytes) {
    std::unique_lock lock(mutex_);
    throw_if_failed();
    auto& slot = messages_[{from, rank}];
    wait(lock, exchange, from, [&] { return slot != nullptr; });
    check_same(exchange, from, slot->exchange, rank);
    if (slot->bytes.size() != bytes.size()) {
      fail_now(from, fmt::format("{}: rank {} expects {} bytes, rank {} sends {}", describe(exchange), rank,
                                 bytes.size(), from, slot->bytes.size()));
    }
    if (!bytes.empty()) std::memcpy(bytes.data(), slot->bytes.data(), bytes.size());
    slot->taken = true;
    slot = nullptr;
    changed_.notify_all();
  }

  void fail(int rank, const std::string& message) noexcept {
    const std::lock_guard lock(mutex_);
    mark_failed(rank, message);
  }

  // Of the ranks of one color.
  std::shared_ptr<Place> part(int color, int size) {
    const std::lock_guard lock(mutex_);
    std::shared_ptr<Place>& place = parts_[color];
    if (place == nullptr) {
      place = std::make_shared<Place>(size, patience_);
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
  void arrive(std::unique_lock<std::mutex>& lock, int rank) {
    const int64_t round = round_;
    if (++arrived_ == size()) {
      arrived_ = 0;
      taking_ = size();
      ++round_;
      changed_.notify_all();
      return;
    }
    wait(lock, offer_of(rank).exchange, -1, [&] { return round_ != round; });
  }

  // `whom`: the rank that is waited for, or -1: several.
  template <typename Done>
  void wait(std::unique_lock<std::mutex>& lock, const Exchange& exchange, int whom, const Done& done) {
    const auto over = [&] { return failed_ || done(); };
    if (!patience_) {
      changed_.wait(lock, over);
    } else if (!changed_.wait_for(lock, *patience_, over)) {
      const std::string who =
          whom < 0 ? fmt::format("{} of {} ranks", size() - arrived_, size()) : fmt::format("rank {}", whom);
      fail_now(whom, fmt::format("{}: {} did not come within {} ms", describe(exchange), who, patience_->count()));
    }
    if (!done()) throw_if_failed();
  }

  void check_same(const Exchange& mine, int other, const Exchange& theirs, int rank) {
    if (mine == theirs) return;
    fail_now(other, fmt::format("out of step: rank {} is at {}, rank {} at {}", rank, describe(mine), other,
                                describe(theirs)));
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
  [[noreturn]] void fail_now(int rank, const std::string& message) {
    mark_failed(rank, message);
    glimmer::fail(ErrorCode::kPeer, "{}", message);
  }
  void throw_if_failed() const {
    if (!failed_) return;
    if (failed_rank_ < 0) glimmer::fail(ErrorCode::kPeer, "{}", failure_);
    glimmer::fail(ErrorCode::kPeer, "rank {} failed: {}", failed_rank_, failure_);
  }

  const std::optional<std::chrono::milliseconds> patience_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Offer> offers_;
  int arrived_ = 0;  // that wait for the rest
  int taking_ = 0;   // that may still read what others offer
  int64_t round_ = 0;
  std::map<std::pair<int, int>, Message*> messages_;
  std::map<int, std::shared_ptr<Place>> parts_;
  std::vector<std::weak_ptr<Place>> children_;
  bool failed_ = false;
  int failed_rank_ = -1;
  std::string failure_;
};

class ThreadGroup final : public Group {
 public:
  ThreadGroup(int rank, std::shared_ptr<Place> place) : rank_(rank), place_(std::move(place)) {}

  int rank() const override { return rank_; }
  int size() const override { return place_->size(); }

  void gather(const Exchange& exchange, std::span<const GatherCall> calls) override {
    place_->meet(rank_, {.exchange = exchange, .calls = calls}, [&] {
      for (int other = 0; other < size(); ++other) {
        if (other != rank_) copy_from(other, calls);
      }
    });
  }

  void broadcast(const Exchange& exchange, int root, std::vector<std::byte>& bytes) override {
    place_->meet(rank_, {.exchange = exchange, .bytes = &bytes}, [&] {
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
    place_->meet(rank_, {.exchange = {"split"}, .color = color}, [&] {
      int own = 0;
      int count = 0;
      for (int other = 0; other < size(); ++other) {
        if (place_->offer_of(other).color != color) continue;
        if (other == rank_) own = count;
        ++count;
      }
      group = std::make_unique<ThreadGroup>(own, place_->part(color, count));
    });
    place_->meet(rank_, {.exchange = {"split"}}, [&] {
      if (rank_ == 0) place_->forget_parts();
    });
    return group;
  }

  void fail(const std::string& message) noexcept override { place_->fail(rank_, message); }

 private:
  void copy_from(int other, std::span<const GatherCall> calls) {
    const std::span<const GatherCall> theirs = place_->offer_of(other).calls;
    GLIMMER_CHECK(theirs.size() == calls.size(), "{} tensors to gather, {} on rank {}", calls.size(), theirs.size(),
                  other);
    for (size_t i = 0; i < calls.size(); ++i) {
      const GatherCall& call = calls[i];
      GLIMMER_CHECK(theirs[i].rows == call.rows && static_cast<int>(call.of_rank.size()) == size(),
                    "{} rows among {} ranks, {} on rank {}", call.rows, call.of_rank.size(), theirs[i].rows, other);
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
};

}  // namespace

std::vector<std::unique_ptr<Group>> make_thread_groups(int size, std::optional<std::chrono::milliseconds> patience) {
  GLIMMER_CHECK(size >= 1, "{} ranks", size);
  const auto place = std::make_shared<Place>(size, patience);
  std::vector<std::unique_ptr<Group>> groups;
  for (int rank = 0; rank < size; ++rank) groups.push_back(std::make_unique<ThreadGroup>(rank, place));
  return groups;
}

void run_ranks(int size, const std::function<void(Group&)>& rank) {
  const std::vector<std::unique_ptr<Group>> groups = make_thread_groups(size);
  std::mutex mutex;
  std::exception_ptr first;
  std::vector<std::thread> threads;
  for (const auto& group : groups) {
    threads.emplace_back([&, own = group.get()] {
      try {
        rank(*own);
      } catch (const std::exception& error) {
        {
          const std::lock_guard lock(mutex);
          if (first == nullptr) first = std::current_exception();
        }
        own->fail(error.what());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  if (first != nullptr) std::rethrow_exception(first);
}

}  // namespace glimmer::comm

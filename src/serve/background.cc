#include "serve/background.h"

#include <algorithm>
#include <exception>
#include <limits>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "serve/service.h"

namespace glimmer::serve {
namespace {

constexpr size_t kSmallBody = 16 << 10;   // about 3 ms of work, which an I/O thread may do itself
constexpr int64_t kShortBytes = 1 << 20;  // about 0.2 s of work: the longest that a short job may wait for another
// A job of 32 MiB, the largest body, gets its turn after 8 s at the latest.
constexpr double kAgeingBytesPerS = 4 << 20;

}  // namespace

Background::Background() {
  try {
    threads_[0] = std::thread([this] { loop(std::numeric_limits<int64_t>::max()); });
    threads_[1] = std::thread([this] { loop(kShortBytes); });
  } catch (const std::system_error& error) {
    stop();
    fail(ErrorCode::kIo, "the system gives no thread for large requests: {}", error.what());
  }
}

Background::~Background() { stop(); }

void Background::stop() noexcept {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

Background::Ticket Background::run(Job job) {
  const std::lock_guard lock(mutex_);
  const auto [place, is_new] = clients_.try_emplace(job.client);
  if (is_new) {  // a new client gets no advantage over the one served least
    int64_t least = std::numeric_limits<int64_t>::max();
    for (const auto& [name, client] : clients_) {
      if (&client != &place->second) least = std::min(least, client.served_bytes);
    }
    if (clients_.size() > 1) place->second.served_bytes = least;
  }
  ++place->second.waiting;
  try {
    waiting_.push_back({++last_ticket_, Clock::now(), std::move(job)});
  } catch (...) {
    leave(place->first);
    throw;
  }
  changed_.notify_all();
  return last_ticket_;
}

void Background::drop(Ticket ticket) noexcept {
  std::list<Waiting> dropped;  // destroyed after the lock is released
  const std::lock_guard lock(mutex_);
  const auto found =
      std::find_if(waiting_.begin(), waiting_.end(), [&](const Waiting& one) { return one.ticket == ticket; });
  if (found == waiting_.end()) return;
  leave(found->job.client);
  dropped.splice(dropped.end(), waiting_, found);
}

// The lock is held, as in next().
void Background::leave(const std::string& client) {
  const auto place = clients_.find(client);
  if (--place->second.waiting == 0) clients_.erase(place);
}

std::list<Background::Waiting>::iterator Background::next(int64_t max_bytes) {
  const Clock::time_point now = Clock::now();
  const auto cost = [&](const Waiting& one) {
    const double waited_s = std::chrono::duration<double>(now - one.since).count();
    return static_cast<double>(one.job.size_bytes) - kAgeingBytesPerS * waited_s;
  };
  auto best = waiting_.end();
  for (auto at = waiting_.begin(); at != waiting_.end(); ++at) {
    if (at->job.size_bytes > max_bytes) continue;
    if (best == waiting_.end()) {
      best = at;
      continue;
    }
    const int64_t served = clients_.find(at->job.client)->second.served_bytes;
    const int64_t best_served = clients_.find(best->job.client)->second.served_bytes;
    if (served < best_served || (served == best_served && cost(*at) < cost(*best))) best = at;
  }
  return best;
}

void Background::loop(int64_t max_bytes) noexcept {
  for (;;) {
    std::list<Waiting> taken;
    {
      std::unique_lock lock(mutex_);
      auto found = waiting_.end();
      changed_.wait(lock, [&] { return stopping_ || (found = next(max_bytes)) != waiting_.end(); });
      if (stopping_) return;
      clients_.find(found->job.client)->second.served_bytes += found->job.size_bytes;
      leave(found->job.client);
      taken.splice(taken.end(), waiting_, found);
    }
    try {
      taken.front().job.work();
    } catch (...) {
      log_warning("a large request is lost, for something went wrong within the server");
    }
  }
}

void run_aside(Service& service, const std::shared_ptr<Exchange>& exchange, Work work) {
  const size_t bytes = exchange->request().body.size();
  if (service.background == nullptr || bytes <= kSmallBody) {
    if (const std::function<void()> next = work()) next();
    return;
  }
  run_in_background(service, exchange, static_cast<int64_t>(bytes), std::move(work));
}

void run_in_background(Service& service, const std::shared_ptr<Exchange>& exchange, int64_t size_bytes, Work work) {
  // Everything needed to report the end is allocated before the work begins.
  struct Outcome {
    std::function<void()> next;
    std::exception_ptr error;
    Background::Ticket ticket = 0;
  };
  const auto outcome = std::make_shared<Outcome>();
  exchange->on_news([outcome] {
    const std::function<void()> next = std::move(outcome->next);
    if (outcome->error) std::rethrow_exception(outcome->error);
    if (next) next();
  });
  exchange->on_closed([background = service.background, outcome] { background->drop(outcome->ticket); });
  const HttpRequest& request = exchange->request();
  const std::string address = request.client.substr(0, request.client.rfind(':'));
  outcome->ticket = service.background->run(
      {request.key_id.empty() ? address : request.key_id, size_bytes, [exchange, outcome, work = std::move(work)] {
         if (exchange->closed()) return;
         try {
           outcome->next = work();
         } catch (...) {
           outcome->error = std::current_exception();
         }
         exchange->tell_news();
       }});
}

}  // namespace glimmer::serve

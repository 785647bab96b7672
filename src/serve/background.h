// Threads for what takes long and is not the model's work: reading, rendering and tokenising a large request, and
// writing a large answer. Network threads go on meanwhile, and with them the streams of others.
//
// Two threads, of which one takes short jobs only: a short one waits for no long one. Among those that wait the client
// comes next for whom least has been done, and of its jobs the smallest; but a job grows smaller while it waits, so
// that its turn comes.
#pragma once

#include <array>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "serve/exchange.h"

namespace glimmer {

class Background {
 public:
  struct Job {
    std::string client;          // who shares fairly with others
    int64_t size_bytes = 0;      // what it is taken to cost
    std::function<void()> work;  // throws nothing
  };
  using Ticket = uint64_t;

  Background();   // throws kIo where the system gives no thread
  ~Background();  // waits for what runs; what has not begun is dropped
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  // These two from any thread.
  Ticket run(Job job);
  void drop(Ticket ticket) noexcept;  // unless it has begun

 private:
  using Clock = std::chrono::steady_clock;
  struct Waiting {
    Ticket ticket = 0;
    Clock::time_point since;
    Job job;
  };
  // Of those that have jobs waiting.
  struct Client {
    int64_t served_bytes = 0;
    int64_t waiting = 0;
  };

  void stop() noexcept;
  void loop(int64_t max_bytes) noexcept;
  std::list<Waiting>::iterator next(int64_t max_bytes);
  void leave(const std::string& client);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::list<Waiting> waiting_;
  std::map<std::string, Client> clients_;
  Ticket last_ticket_ = 0;
  bool stopping_ = false;
  std::array<std::thread, 2> threads_;
};

// Runs `work`, and then what it returns on the exchange's I/O thread. `work` runs there too, at once, if the request is
// small; else in the background, where it may use no more of the exchange than request() and closed(). What either
// throws ends the exchange as an endpoint's exception does. Where the client goes, nothing more is done.
using Work = std::function<std::function<void()>()>;
void run_aside(Service& service, const std::shared_ptr<Exchange>& exchange, Work work);

// The same, whatever the size of the request: for work of `size_bytes`.
void run_in_background(Service& service, const std::shared_ptr<Exchange>& exchange, int64_t size_bytes, Work work);

}  // namespace glimmer

// Threads for long work outside the model: parsing, rendering and tokenising a large request, and writing a large
// answer. Meanwhile the network threads keep serving other streams.
//
// Two threads, one of which takes short jobs only, so that short jobs never wait for a long one. The client that has
// been served least goes next, with its smallest job; waiting makes a job count as smaller, so that none starves.
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

namespace glimmer::serve {

class Background {
 public:
  struct Job {
    std::string client;          // jobs are scheduled fairly between clients
    int64_t size_bytes = 0;      // estimated cost
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

// Runs `work`, and then the function that it returns on the exchange's I/O thread. `work` runs there too, at once, if
// the request is small; else in the background, where it may only use request() and closed() of the exchange. An
// exception from either ends the exchange as an endpoint's exception does. If the client disconnects, the rest is
// dropped.
using Work = std::function<std::function<void()>()>;
void run_aside(Service& service, const std::shared_ptr<Exchange>& exchange, Work work);

// The same for work of `size_bytes`, whatever the size of the request.
void run_in_background(Service& service, const std::shared_ptr<Exchange>& exchange, int64_t size_bytes, Work work);

}  // namespace glimmer::serve

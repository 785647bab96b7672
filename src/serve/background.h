// A thread for what takes long and is not the model's work: reading, rendering and tokenising a large request. Network
// threads go on meanwhile, and with them the streams of others.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "serve/exchange.h"

namespace glimmer {

class Background {
 public:
  Background();
  ~Background();  // waits for what runs; what has not begun is dropped
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  // From any thread, in the order of the calls. `work` throws nothing.
  void run(std::function<void()> work);

 private:
  void loop();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> waiting_;
  bool stopping_ = false;
  std::thread thread_;
};

// Runs `work`, and then what it returns on the exchange's I/O thread. `work` runs there too, at once, if the request is
// small; else in the background, where it may use no more of the exchange than request(). What either throws ends the
// exchange as an endpoint's exception does.
using Work = std::function<std::function<void()>()>;
void run_aside(Service& service, const std::shared_ptr<Exchange>& exchange, Work work);

}  // namespace glimmer

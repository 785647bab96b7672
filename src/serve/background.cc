#include "serve/background.h"

#include <exception>
#include <utility>

#include "serve/service.h"

namespace glimmer {
namespace {

// About 5 ms of work.
constexpr size_t kSmallBody = 32 << 10;

}  // namespace

Background::Background() : thread_([this] { loop(); }) {}

Background::~Background() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void Background::run(std::function<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(work));
  }
  changed_.notify_one();
}

void Background::loop() {
  for (;;) {
    std::function<void()> work;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
      if (stopping_) return;
      work = std::move(waiting_.front());
      waiting_.pop_front();
    }
    work();
  }
}

void run_aside(Service& service, const std::shared_ptr<Exchange>& exchange, Work work) {
  if (service.background == nullptr || exchange->request().body.size() <= kSmallBody) {
    work()();
    return;
  }
  service.background->run([exchange, work = std::move(work)] {
    std::function<void()> next;
    std::exception_ptr error;
    try {
      next = work();
    } catch (...) {
      error = std::current_exception();
    }
    // Moved, so that one thread alone lets go of it.
    exchange->post([next = std::move(next), error = std::move(error)] {
      if (error) std::rethrow_exception(error);
      next();
    });
  });
}

}  // namespace glimmer

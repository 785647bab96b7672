#include "base/line_writer.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <string_view>
#include <thread>
#include <utility>

namespace glimmer {
namespace {

// Timeouts of the final flush: with a reader that takes nothing, and with one that takes a little at a time.
constexpr std::chrono::seconds kPatience(1);
constexpr std::chrono::seconds kMostPatience(5);

}  // namespace

// Shared with the thread, which may outlive the writer.
struct LineWriter::State {
  State(int to, DroppedLine line) : descriptor(to), dropped_line(std::move(line)) {}

  const int descriptor;
  const DroppedLine dropped_line;

  std::mutex mutex;  // of what follows
  std::condition_variable changed;
  std::deque<std::string> lines;
  size_t bytes = 0;     // of the lines
  int64_t dropped = 0;  // since the start
  int64_t dropped_untold = 0;
  size_t lines_before_telling = 0;  // that were there when the first of those was dropped
  int64_t taken_bytes = 0;          // by the reader
  bool ending = false;
  bool ended = false;

  void run();
  bool write_all(std::string_view text);
  bool take(std::string& line);
  void drop();
};

void LineWriter::State::drop() {
  ++dropped;
  if (dropped_untold++ == 0) lines_before_telling = lines.size();
}

// The next line; the mutex is held.
bool LineWriter::State::take(std::string& line) {
  if (dropped_untold > 0 && lines_before_telling == 0) {
    line = dropped_line(dropped_untold);
    dropped_untold = 0;
    return true;
  }
  if (lines.empty()) return false;
  line = std::move(lines.front());
  lines.pop_front();
  bytes -= line.size();
  if (lines_before_telling > 0) --lines_before_telling;
  return true;
}

bool LineWriter::State::write_all(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(descriptor, text.data(), text.size());
    if (written > 0) {
      text.remove_prefix(static_cast<size_t>(written));
      const std::lock_guard lock(mutex);
      taken_bytes += written;
    } else if (errno == EAGAIN) {  // another program made it so for all who hold it
      pollfd room = {.fd = descriptor, .events = POLLOUT, .revents = 0};
      poll(&room, 1, -1);
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

void LineWriter::State::run() {
  std::unique_lock lock(mutex);
  while (true) {
    changed.wait(lock, [this] { return ending || !lines.empty() || dropped_untold > 0; });
    std::string line;
    bool is_there = false;
    try {
      is_there = take(line);
    } catch (const std::exception&) {  // no memory for telling: dropped() still counts them
      dropped_untold = 0;
      continue;
    }
    if (!is_there) break;
    lock.unlock();
    const bool written = write_all(line);
    lock.lock();
    // A log that cannot be written must not end the work. Nor is it told there that it could not be.
    if (!written) ++dropped;
  }
  ended = true;
  changed.notify_all();
}

LineWriter::LineWriter(int descriptor, DroppedLine dropped_line)
    : state_(std::make_shared<State>(descriptor, std::move(dropped_line))) {
  std::thread([state = state_] { state->run(); }).detach();
}

LineWriter::~LineWriter() {
  std::unique_lock lock(state_->mutex);
  state_->ending = true;
  state_->changed.notify_all();
  const auto last = std::chrono::steady_clock::now() + kMostPatience;
  int64_t taken = -1;
  while (!state_->ended && taken != state_->taken_bytes && std::chrono::steady_clock::now() < last) {
    taken = state_->taken_bytes;
    state_->changed.wait_for(lock, kPatience, [this] { return state_->ended; });
  }
}

void LineWriter::write(std::string line) noexcept {
  const std::lock_guard lock(state_->mutex);
  const bool has_room =
      state_->lines.empty() || (state_->lines.size() < kMaxLines && state_->bytes + line.size() <= kMaxBytes);
  try {
    if (has_room) {
      const size_t size = line.size();
      state_->lines.push_back(std::move(line));
      state_->bytes += size;
    } else {
      state_->drop();
    }
  } catch (const std::exception&) {  // memory is out
    state_->drop();
  }
  state_->changed.notify_all();
}

int64_t LineWriter::dropped() const {
  const std::lock_guard lock(state_->mutex);
  return state_->dropped;
}

}  // namespace glimmer

// Writes lines to a descriptor whose reader may be slow or stuck: a pipe, a paused terminal, a socket.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace glimmer {

// Writes on a thread of its own, so that callers never block. Lines beyond the queue's bounds are dropped and counted;
// `dropped_line` reports them at that place once the reader goes on.
class LineWriter {
 public:
  static constexpr size_t kMaxLines = 10'000;
  static constexpr size_t kMaxBytes = size_t{64} << 20;

  // Makes the line that reports dropped lines.
  using DroppedLine = std::function<std::string(int64_t count)>;

  LineWriter(int descriptor, DroppedLine dropped_line);
  // Flushes the queue, but gives up after a second without progress, or five in all: the thread then stays blocked in
  // its write, and the descriptor must stay open until the process ends.
  ~LineWriter();
  LineWriter(const LineWriter&) = delete;
  LineWriter& operator=(const LineWriter&) = delete;

  void write(std::string line) noexcept;  // from any thread; with its line end
  int64_t dropped() const;                // since the start

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace glimmer

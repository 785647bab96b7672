// Lines to a descriptor that may be read slowly or not at all: a pipe, a terminal that is held, a socket.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace glimmer {

// A thread of its own writes, so that no one else waits. What it has no room for is dropped and counted, and told with
// `dropped_line` at that place once the reader goes on.
class LineWriter {
 public:
  static constexpr size_t kMaxLines = 10'000;
  static constexpr size_t kMaxBytes = size_t{64} << 20;

  // Makes the line that tells of so many dropped ones.
  using DroppedLine = std::function<std::string(int64_t count)>;

  LineWriter(int descriptor, DroppedLine dropped_line);
  // Writes what waits for as long as it is read, and gives up after a second in which nothing was taken, or five in
  // all: then the thread is left in its write, and the descriptor must stay open until the process ends.
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

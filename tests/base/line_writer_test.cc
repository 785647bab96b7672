#include "base/line_writer.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <string>

#include "base/log.h"

namespace glimmer {
namespace {

struct Pipe {
  Pipe() {
    std::signal(SIGPIPE, SIG_IGN);
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
  }
  ~Pipe() {  // the writing end stays open where a thread may be left in its write
    if (ends[0] >= 0) close(ends[0]);
  }
  std::string read_all() {
    close(ends[1]);
    std::string text;
    char piece[4096];
    for (ssize_t size = 0; (size = read(ends[0], piece, sizeof piece)) > 0;) text.append(piece, size);
    return text;
  }
  int ends[2] = {-1, -1};
};

std::string told(int64_t count) { return "dropped " + std::to_string(count) + "\n"; }

TEST(LineWriter, WritesInOrderAndAllBeforeItEnds) {
  Pipe pipe;
  std::string expected;
  {
    LineWriter writer(pipe.ends[1], told);
    for (int i = 0; i < 500; ++i) {
      writer.write(std::to_string(i) + "\n");
      expected += std::to_string(i) + "\n";
    }
  }
  EXPECT_EQ(pipe.read_all(), expected);
}

TEST(LineWriter, EndsThoughNobodyReads) {
  Pipe pipe;
  const auto begin = std::chrono::steady_clock::now();
  {
    LineWriter writer(pipe.ends[1], told);
    for (int i = 0; i < 200; ++i) writer.write(std::string(1000, 'x') + "\n");
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));
}

TEST(LineWriter, DropsBeyondItsBoundsAndTellsWhereItDid) {
  Pipe pipe;
  fcntl(pipe.ends[1], F_SETPIPE_SZ, 4096);
  constexpr int64_t kMore = 500;
  int64_t dropped = 0;
  std::string text;
  {
    LineWriter writer(pipe.ends[1], told);
    const auto count = static_cast<int64_t>(LineWriter::kMaxLines) + kMore;
    for (int64_t i = 0; i < count; ++i) writer.write(std::string(99, 'x') + "\n");
    dropped = writer.dropped();
    EXPECT_GT(dropped, kMore - 100);  // some are in the pipe
    EXPECT_LE(dropped, kMore);
    char piece[4096];
    while (text.find(told(dropped)) == std::string::npos) {
      const ssize_t size = read(pipe.ends[0], piece, sizeof piece);
      ASSERT_GT(size, 0);
      text.append(piece, static_cast<size_t>(size));
    }
    writer.write("after\n");
  }
  text += pipe.read_all();
  EXPECT_EQ(text.size(),
            (LineWriter::kMaxLines + kMore - static_cast<size_t>(dropped)) * 100 + told(dropped).size() + 6);
  EXPECT_TRUE(text.ends_with(told(dropped) + "after\n"));
}

TEST(LineWriter, BoundsBytesToo) {
  Pipe pipe;
  LineWriter writer(pipe.ends[1], told);
  writer.write(std::string(1 << 20, 'x'));  // in its write from here on
  for (int i = 0; i < 66; ++i) writer.write(std::string(1 << 20, 'x'));
  EXPECT_GE(writer.dropped(), 2);
}

TEST(LineWriter, GoesOnWhereADescriptorCannotBeWritten) {
  LineWriter writer(-1, told);
  for (int i = 0; i < 10; ++i) writer.write("x\n");
}

TEST(LineWriter, TakesWhatIsSaidOnStandardErrorMeanwhile) {
  Pipe pipe;
  {
    LineWriter writer(pipe.ends[1], told);
    const DiagnosticsThrough through(writer);
    log_warning("{} things", 2);
    write_diagnostics("as it is");
  }
  EXPECT_EQ(pipe.read_all(), "glimmer: warning: 2 things\nas it is");
}

}  // namespace
}  // namespace glimmer

#include "base/mapped_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"

namespace glimmer {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class Files : public ::testing::Test {
 protected:
  Files() {
    std::string name = (fs::temp_directory_path() / "glimmer_base_XXXXXX").string();
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  ~Files() override { fs::remove_all(folder_); }

  fs::path write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name, std::ios::binary) << text;
    return folder_ / name;
  }

  fs::path folder_;
};

std::string text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

template <typename Action>
void expect_error(ErrorCode code, const std::string& part, Action&& action) {
  try {
    action();
    ADD_FAILURE() << "no error, expected " << part;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_THAT(error.what(), HasSubstr(part));
  }
}

TEST_F(Files, AreMappedAndReadWhole) {
  std::string text;
  for (int i = 0; i < 100'000; ++i) text += static_cast<char>(i * 7);
  const fs::path path = write("data", text);
  const MappedFile file(path);
  EXPECT_EQ(text_of(file), text);
  EXPECT_EQ(file.path(), path);
  EXPECT_EQ(read_file(path), text);
}

TEST_F(Files, MayBeEmpty) {
  const fs::path path = write("empty", "");
  EXPECT_TRUE(MappedFile(path).bytes().empty());
  EXPECT_EQ(read_file(path), "");
}

TEST_F(Files, StayMappedWhenMovedOrRemoved) {
  const fs::path path = write("data", "hello");
  MappedFile first(path);
  const std::byte* const at = first.bytes().data();
  const MappedFile second(std::move(first));
  fs::remove(path);
  EXPECT_EQ(second.bytes().data(), at);
  EXPECT_EQ(text_of(second), "hello");
}

// More than a page of each: what lies beyond the file's last page raises SIGBUS when it is touched.
TEST_F(Files, ThatShrinkReadAsZerosAndAreAnErrorThatSaysSo) {
  const std::string text(300'000, 'x');
  const fs::path path = write("data", text);
  const MappedFile other(write("other", text));
  const MappedFile file(path);
  EXPECT_NO_THROW(file.check_unchanged());
  fs::resize_file(path, 10'000);
  std::vector<std::thread> readers;  // any thread may be the one to touch it
  std::atomic<size_t> zeros = 0;
  for (int i = 0; i < 4; ++i) {
    readers.emplace_back([&] { zeros += static_cast<size_t>(std::ranges::count(text_of(file), '\0')); });
  }
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(zeros, 4 * (text.size() - 10'000));
  expect_error(ErrorCode::kIo, "data: changed while it was read: it had 300000 bytes, and has 10000 now",
               [&] { file.check_unchanged(); });
  expect_error(ErrorCode::kIo, path.string(), [] { check_mapped_files(); });
  EXPECT_NO_THROW(other.check_unchanged());
  EXPECT_EQ(text_of(other), text);
  fs::resize_file(path, text.size());
  expect_error(ErrorCode::kIo, "could not be read", [&] { file.check_unchanged(); });
}

TEST_F(Files, ThatAreWrittenToWhileTheyAreReadAreAnError) {
  const fs::path path = write("data", "hello");
  const MappedFile file(path);
  write("data", "jello");
  fs::last_write_time(path, fs::last_write_time(path) + std::chrono::seconds(1));
  expect_error(ErrorCode::kIo, "data: changed while it was read", [&] { file.check_unchanged(); });
}

// A fault that is not a mapped file's still ends the process as it did.
TEST_F(Files, LeaveOtherBusErrorsAsTheyAre) {
  const fs::path path = write("data", std::string(300'000, 'x'));
  const MappedFile file(path);
  EXPECT_DEATH(::raise(SIGBUS), "");
}

TEST_F(Files, AreLimitedInSize) {
  const fs::path path = write("data", "12345");
  EXPECT_EQ(read_file(path, 5), "12345");
  expect_error(ErrorCode::kLimit, "5 bytes, at most 4", [&] { read_file(path, 4); });
}

TEST_F(Files, MustBeThereAndRegular) {
  expect_error(ErrorCode::kNotFound, "gone: cannot open", [&] { MappedFile file(folder_ / "gone"); });
  expect_error(ErrorCode::kNotFound, "gone: cannot open", [&] { read_file(folder_ / "gone"); });
  expect_error(ErrorCode::kIo, "expected a regular file", [&] { MappedFile file(folder_); });
  expect_error(ErrorCode::kIo, "expected a regular file", [&] { read_file(folder_); });
  expect_error(ErrorCode::kIo, "expected a regular file", [&] { read_file("/dev/zero"); });
  const fs::path path = write("data", "x");
  expect_error(ErrorCode::kIo, "cannot open", [&] { MappedFile file(path / "below"); });
}

}  // namespace
}  // namespace glimmer

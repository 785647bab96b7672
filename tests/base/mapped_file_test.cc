#include "base/mapped_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>
#include <string>

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

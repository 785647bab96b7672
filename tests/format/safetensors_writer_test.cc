#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <cstring>
#include <random>
#include <vector>

#include "format/raw_safetensors.h"
#include "format/safetensors.h"

namespace glimmer {
namespace {

using ::testing::HasSubstr;

size_t files_in(const TempFolder& folder) {
  const std::filesystem::directory_iterator at(folder.path());
  return static_cast<size_t>(std::distance(begin(at), end(at)));
}

TEST(WriteSafetensors, RoundTripsEveryTypeAndShape) {
  const TempFolder folder;
  const std::vector<Shape> shapes = {{}, {0}, {1}, {3, 0, 2}, {7}, {2, 3}, {5, 1, 3}, {1, 1, 1, 1, 1, 1, 1, 2}};
  std::mt19937 random(1);
  std::vector<Tensor> tensors;
  std::vector<NamedTensor> named;
  for (const char* type : {"BOOL", "F64", "U8", "F32", "I16", "BF16", "F8_E4M3", "F8_E5M2", "I64", "U64", "I32", "U32",
                           "U16", "F16", "I8"}) {
    for (const Shape& shape : shapes) {
      Tensor tensor(parse_dtype(type).value(), shape);
      auto* bytes = static_cast<uint8_t*>(tensor.view().data);
      for (size_t i = 0; i < tensor.size_bytes(); ++i) bytes[i] = static_cast<uint8_t>(random());
      named.push_back({fmt::format("{} {} \"\\\n\x01中😀", type, shape.to_string()), std::as_const(tensor).view()});
      tensors.push_back(std::move(tensor));
    }
  }
  const std::map<std::string, std::string> metadata = {{"format", "pt"}, {"a\"b", std::string("\n\t\0中", 6)}};
  write_safetensors(folder / "t.safetensors", named, metadata);
  const SafetensorsFile file(folder / "t.safetensors");
  EXPECT_EQ(file.metadata(), metadata);
  EXPECT_EQ(file.tensors().size(), named.size());
  for (const NamedTensor& expected : named) {
    const TensorInfo* read = file.find(expected.name);
    ASSERT_NE(read, nullptr) << expected.name;
    EXPECT_EQ(read->dtype, expected.value.dtype);
    EXPECT_EQ(read->shape, expected.value.shape);
    EXPECT_TRUE(read->is_aligned()) << expected.name;
    ASSERT_EQ(read->data.size(), expected.value.size_bytes());
    EXPECT_TRUE(read->data.empty() || std::memcmp(read->data.data(), expected.value.data, read->data.size()) == 0);
  }
  EXPECT_EQ(files_in(folder), 1u);
}

TEST(WriteSafetensors, WritesAFileWithoutTensors) {
  const TempFolder folder;
  write_safetensors(folder / "none.safetensors", {});
  EXPECT_TRUE(SafetensorsFile(folder / "none.safetensors").tensors().empty());
  write_safetensors(folder / "none.safetensors", {}, {{"only", "metadata"}});
  EXPECT_EQ(SafetensorsFile(folder / "none.safetensors").metadata().size(), 1u);
}

TEST(WriteSafetensors, RefusesImpossibleNames) {
  const TempFolder folder;
  const Tensor tensor(DType::kF32, {1});
  const auto write = [&](std::vector<std::string> names, std::map<std::string, std::string> metadata = {}) {
    std::vector<NamedTensor> named;
    for (const std::string& name : names) named.push_back({name, tensor.view()});
    const Error error = caught([&] { write_safetensors(folder / "t.safetensors", named, metadata); });
    EXPECT_EQ(error.code(), ErrorCode::kInvalid);
    return std::string(error.what());
  };
  EXPECT_THAT(write({"b", "a", "b"}), HasSubstr("tensor \"b\": the name is given twice"));
  EXPECT_THAT(write({"__metadata__"}), HasSubstr("the header's own"));
  EXPECT_THAT(write({"\xFF"}), HasSubstr("not UTF-8"));
  EXPECT_THAT(write({"a"}, {{"k", "\xFF"}}), HasSubstr("not UTF-8"));
  EXPECT_EQ(files_in(folder), 0u);
}

TEST(WriteSafetensors, NamesWhatTheSystemRefuses) {
  const TempFolder folder;
  std::filesystem::create_directory(folder / "folder");
  EXPECT_EQ(caught([&] { write_safetensors(folder / "gone" / "t.safetensors", {}); }).code(), ErrorCode::kIo);
  const Error error = caught([&] { write_safetensors(folder / "folder", {}); });
  EXPECT_EQ(error.code(), ErrorCode::kIo);
  EXPECT_THAT(error.what(), HasSubstr("not a regular file"));
  EXPECT_EQ(caught([&] { write_safetensors("/dev/full", {}); }).code(), ErrorCode::kIo);
}

// A limit on the size of files stands for the full disk: write() fails in the middle.
TEST(WriteSafetensors, LeavesTheOldFileWhenTheDiskIsFull) {
  const TempFolder folder;
  const auto path = folder / "t.safetensors";
  const Tensor small(DType::kU8, {10});
  write_safetensors(path, std::vector<NamedTensor>{{"old", small.view()}});
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit limit{1 << 16, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  const Tensor large(DType::kU8, {1 << 17});
  const Error error = caught([&] { write_safetensors(path, std::vector<NamedTensor>{{"new", large.view()}}); });
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(error.code(), ErrorCode::kIo);
  EXPECT_THAT(error.what(), HasSubstr("t.safetensors: cannot write: "));
  EXPECT_EQ(files_in(folder), 1u);
  EXPECT_NE(SafetensorsFile(path).find("old"), nullptr);
}

}  // namespace
}  // namespace glimmer

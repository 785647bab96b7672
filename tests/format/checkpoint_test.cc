#include "format/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "format/raw_safetensors.h"
#include "format/safetensors.h"

namespace glimmer {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr const char* kIndex = "model.safetensors.index.json";

// A file of u8 tensors with 4 elements each.
void write_shard(const std::filesystem::path& path, const std::vector<std::string>& names) {
  const Tensor tensor(DType::kU8, {4});
  std::vector<NamedTensor> named;
  for (const std::string& name : names) named.push_back({name, tensor.view()});
  write_safetensors(path, named);
}

// An index whose weight_map is the text between the braces.
std::string index_of(std::string_view weight_map, std::string_view metadata = "{}") {
  return fmt::format(R"({{"metadata": {}, "weight_map": {{{}}}}})", metadata, weight_map);
}

Error open_error(const std::filesystem::path& path) {
  return caught([&] { Checkpoint::open(path); });
}

// a, b in shard 1 and c in shard 2.
class ShardedCheckpoint : public ::testing::Test {
 protected:
  ShardedCheckpoint() {
    write_shard(folder_ / "model-00001-of-00002.safetensors", {"b", "a"});
    write_shard(folder_ / "model-00002-of-00002.safetensors", {"c"});
    write_index(kMap);
  }
  void write_index(std::string_view weight_map, std::string_view metadata = R"({"total_size": 12})") {
    write_text(folder_ / kIndex, index_of(weight_map, metadata));
  }
  Error error() { return open_error(folder_.path()); }

  static constexpr const char* kMap =
      R"("c": "model-00002-of-00002.safetensors", "a": "model-00001-of-00002.safetensors", )"
      R"("b": "model-00001-of-00002.safetensors")";
  TempFolder folder_;
};

TEST_F(ShardedCheckpoint, JoinsItsShards) {
  const Checkpoint checkpoint = Checkpoint::open(folder_.path());
  ASSERT_EQ(checkpoint.tensors().size(), 3u);
  EXPECT_EQ(checkpoint.tensors()[0]->name, "a");
  EXPECT_EQ(checkpoint.tensors()[2]->name, "c");
  EXPECT_EQ(checkpoint.files().size(), 2u);
  EXPECT_EQ(checkpoint.total_bytes(), 12u);
  EXPECT_THAT(std::string(checkpoint.require("c").file), HasSubstr("model-00002-of-00002.safetensors"));
  EXPECT_EQ(checkpoint.find("d"), nullptr);
  checkpoint.advise(Access::kWillNeed);
  EXPECT_EQ(checkpoint.require("a").data.size(), 4u);
}

TEST_F(ShardedCheckpoint, CanBeMoved) {
  Checkpoint first = Checkpoint::open(folder_.path());
  const Checkpoint second = std::move(first);
  EXPECT_THAT(std::string(second.require("a").file), HasSubstr("model-00001"));
}

TEST_F(ShardedCheckpoint, NamesAMissingShard) {
  std::filesystem::remove(folder_ / "model-00002-of-00002.safetensors");
  EXPECT_EQ(error().code(), ErrorCode::kNotFound);
  EXPECT_THAT(error().what(), AllOf(HasSubstr("model-00002-of-00002.safetensors: missing"), HasSubstr("\"c\"")));
}

TEST_F(ShardedCheckpoint, NamesATruncatedShard) {
  const auto path = folder_ / "model-00001-of-00002.safetensors";
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 1);
  EXPECT_EQ(error().code(), ErrorCode::kInvalid);
  EXPECT_THAT(error().what(), HasSubstr("model-00001-of-00002.safetensors: tensor \"b\""));
}

TEST_F(ShardedCheckpoint, NamesATensorThatItsShardLacks) {
  write_index(std::string(kMap) + R"(, "d": "model-00002-of-00002.safetensors")");
  EXPECT_EQ(error().code(), ErrorCode::kInvalid);
  EXPECT_THAT(error().what(), AllOf(HasSubstr("model-00002-of-00002.safetensors: tensor \"d\" is not in the file"),
                                    HasSubstr("1 of its 2 tensors")));
}

TEST_F(ShardedCheckpoint, OpensATensorThatTheIndexForgot) {
  write_index(R"("c": "model-00002-of-00002.safetensors", "a": "model-00001-of-00002.safetensors")");
  EXPECT_NE(Checkpoint::open(folder_.path()).find("b"), nullptr);
}

TEST_F(ShardedCheckpoint, OpensDespiteAStaleTotal) {
  write_index(kMap, R"({"total_size": 13})");
  EXPECT_EQ(Checkpoint::open(folder_.path()).total_bytes(), 12u);
  write_index(kMap, R"({"total_size": 12.0, "total_parameters": 12})");
  EXPECT_EQ(Checkpoint::open(folder_.path()).total_bytes(), 12u);
  write_index(kMap, R"({"total_size": "12"})");
  EXPECT_THAT(error().what(), HasSubstr("metadata.total_size: expected a number of bytes"));
  write_index(kMap, R"({"total_size": -12})");
  EXPECT_THAT(error().what(), HasSubstr("metadata.total_size"));
}

TEST_F(ShardedCheckpoint, RefusesATensorInTwoShards) {
  write_shard(folder_ / "model-00002-of-00002.safetensors", {"c", "a"});
  EXPECT_EQ(error().code(), ErrorCode::kInvalid);
  EXPECT_THAT(error().what(), AllOf(HasSubstr("tensor \"a\" is in two files"), HasSubstr("model-00001-of"),
                                    HasSubstr("model-00002-of")));
}

TEST_F(ShardedCheckpoint, RefusesPathsThatLeaveTheFolder) {
  const TempFolder elsewhere;
  write_shard(elsewhere / "x.safetensors", {"x"});
  const std::string absolute = (elsewhere / "x.safetensors").string();
  const std::string relative = "../" + elsewhere.path().filename().string() + "/x.safetensors";
  for (const std::string& shard :
       {absolute, relative, std::string("sub/../../x.safetensors"), std::string("/x.safetensors"), std::string(".."),
        std::string(), std::string(R"(x.safetensors\u0000)"), std::string(R"(\nx.safetensors)")}) {
    write_index(fmt::format(R"("x": "{}")", shard));
    EXPECT_EQ(error().code(), ErrorCode::kInvalid) << shard;
    EXPECT_THAT(error().what(), HasSubstr("expected the name of a file in this folder"));
  }
  write_index(R"("x": "pytorch_model.bin")");
  EXPECT_EQ(error().code(), ErrorCode::kUnsupported);
}

TEST_F(ShardedCheckpoint, OpensShardsInASubfolder) {
  std::filesystem::create_directory(folder_ / "weights");
  write_shard(folder_ / "weights/x.safetensors", {"x"});
  write_index(R"("x": "weights/x.safetensors")");
  EXPECT_NE(Checkpoint::open(folder_.path()).find("x"), nullptr);
}

TEST_F(ShardedCheckpoint, RefusesAMalformedIndex) {
  const auto refuse = [&](std::string_view text, std::string_view message) {
    write_text(folder_ / kIndex, text);
    EXPECT_EQ(error().code(), ErrorCode::kInvalid) << text;
    EXPECT_THAT(error().what(), AllOf(HasSubstr(kIndex), HasSubstr(std::string(message))));
  };
  refuse("", "malformed JSON");
  refuse("{", "malformed JSON");
  refuse("[]", "weight_map");
  refuse("7", "weight_map");
  refuse("{}", "weight_map");
  refuse(R"({"weight_map": []})", "weight_map");
  refuse(R"({"weight_map": {}})", "non-empty \"weight_map\"");
  refuse(R"({"weight_map": {"a": 1}})", "tensor \"a\": expected a file name, found \"1\"");
  refuse(R"({"weight_map": {"a": "x.safetensors", "a": "y.safetensors"}})", "twice");
  std::filesystem::remove(folder_ / kIndex);
  std::filesystem::create_directory(folder_ / kIndex);
  EXPECT_EQ(error().code(), ErrorCode::kIo);
}

TEST_F(ShardedCheckpoint, RefusesAnUnlistedSingleFile) {
  write_shard(folder_ / "model.safetensors", {"a"});
  EXPECT_THAT(error().what(), HasSubstr("holds both model.safetensors and"));
  write_index(R"("a": "model.safetensors")");
  EXPECT_EQ(Checkpoint::open(folder_.path()).tensors().size(), 1u);
}

TEST(Checkpoint, OpensASingleFile) {
  const TempFolder folder;
  write_shard(folder / "other.safetensors", {"a", "b"});
  EXPECT_EQ(Checkpoint::open(folder.path()).tensors().size(), 2u);
  EXPECT_EQ(Checkpoint::open(folder / "other.safetensors").tensors().size(), 2u);
  write_shard(folder / "second.safetensors", {"c"});
  EXPECT_THAT(
      open_error(folder.path()).what(),
      AllOf(HasSubstr("2 .safetensors files (\"other.safetensors\", \"second.safetensors\""), HasSubstr(kIndex)));
  write_shard(folder / "model.safetensors", {"d"});
  EXPECT_NE(Checkpoint::open(folder.path()).find("d"), nullptr);
}

TEST(Checkpoint, SaysWhatItLookedFor) {
  const TempFolder folder;
  EXPECT_EQ(open_error(folder.path()).code(), ErrorCode::kNotFound);
  EXPECT_THAT(open_error(folder.path()).what(),
              AllOf(HasSubstr("no weights found"), HasSubstr(kIndex), HasSubstr("*.safetensors")));
  EXPECT_EQ(open_error(folder / "gone").code(), ErrorCode::kNotFound);
  EXPECT_THAT(open_error(folder / "gone").what(), HasSubstr("gone: no such model folder"));
  write_text(folder / "config.json", "{}");
  EXPECT_EQ(open_error(folder / "config.json").code(), ErrorCode::kInvalid);
  write_shard(folder / "model.safetensors", {});
  EXPECT_THAT(open_error(folder.path()).what(), HasSubstr("hold no tensor"));
}

TEST(Checkpoint, NamesTheNearestTensor) {
  const TempFolder folder;
  write_shard(folder / "model.safetensors", {"model.layers.0.mlp.gate.weight", "model.norm.weight", "lm_head.weight"});
  const Checkpoint checkpoint = Checkpoint::open(folder.path());
  const Error error = caught([&] { checkpoint.require("model.layers.1.mlp.gate.weight"); });
  EXPECT_EQ(error.code(), ErrorCode::kNotFound);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("tensor \"model.layers.1.mlp.gate.weight\" is missing"),
                                  HasSubstr("the nearest is \"model.layers.0.mlp.gate.weight\"")));
}

}  // namespace
}  // namespace glimmer

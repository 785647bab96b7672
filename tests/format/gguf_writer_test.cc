#include "format/gguf_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "format/raw_gguf.h"

namespace glimmer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// The whole file, with byte i of tensor t's data being t * 16 + i.
std::string file_of(const GgufLayout& layout) {
  std::string file = layout.header;
  file.resize(layout.file_bytes);
  for (size_t t = 0; t < layout.offsets.size(); ++t) {
    for (uint64_t i = 0; i < layout.size_bytes[t]; ++i) file[layout.offsets[t] + i] = static_cast<char>(t * 16 + i);
  }
  return file;
}

TEST(GgufWriter, MakesWhatTheReaderReads) {
  const std::vector<GgufKeyValue> metadata = {
      {"general.architecture", std::string("glm4moe")},
      {"u8", uint8_t{1}},
      {"i8", int8_t{-1}},
      {"u16", uint16_t{2}},
      {"i16", int16_t{-2}},
      {"u32", uint32_t{3}},
      {"i32", int32_t{-3}},
      {"u64", uint64_t{4}},
      {"i64", int64_t{-4}},
      {"f32", 1e-5F},
      {"f64", 0.1},
      {"bool", true},
      {"texts", std::vector<std::string>{"a", "", "Ġb"}},
      {"i32s", std::vector<int32_t>{1, -2}},
      {"u32s", std::vector<uint32_t>{1, 2}},
      {"i64s", std::vector<int64_t>{-1}},
      {"u64s", std::vector<uint64_t>{1}},
      {"f32s", std::vector<float>{0.5F}},
      {"bools", std::vector<bool>{true, false}},
  };
  const std::vector<GgufTensorSpec> tensors = {
      {"z.weight", DType::kQ8_0, {3, 64}}, {"a.weight", DType::kF32, {5}}, {"exps.weight", DType::kBF16, {2, 3, 4}}};
  const GgufLayout layout = gguf_layout(metadata, tensors);
  EXPECT_EQ(layout.header.size() % 32, 0u);
  EXPECT_THAT(layout.size_bytes, ElementsAre(3 * 68, 20, 48));
  EXPECT_EQ(layout.offsets[0], layout.header.size());
  EXPECT_EQ(layout.offsets[1], layout.header.size() + 224);
  EXPECT_EQ(layout.file_bytes, layout.header.size() + 224 + 32 + 64);

  const std::string file = file_of(layout);
  const GgufContent content = parse_gguf(as_bytes(file), "w.gguf");
  ASSERT_EQ(content.metadata.entries().size(), metadata.size());
  for (size_t i = 0; i < metadata.size(); ++i) EXPECT_EQ(content.metadata.entries()[i].key, metadata[i].key);
  EXPECT_EQ(content.metadata.text("general.architecture"), "glm4moe");
  EXPECT_EQ(content.metadata.find("u8")->type, GgufType::kU8);
  EXPECT_EQ(content.metadata.integer("i8"), -1);
  EXPECT_EQ(content.metadata.integer("u16"), 2);
  EXPECT_EQ(content.metadata.integer("i16"), -2);
  EXPECT_EQ(content.metadata.integer("u32"), 3);
  EXPECT_EQ(content.metadata.integer("i32"), -3);
  EXPECT_EQ(content.metadata.integer("u64"), 4);
  EXPECT_EQ(content.metadata.integer("i64"), -4);
  EXPECT_EQ(content.metadata.number("f32"), 1e-5);
  EXPECT_EQ(content.metadata.number("f64"), 0.1);
  EXPECT_EQ(content.metadata.boolean("bool"), true);
  EXPECT_THAT(*content.metadata.texts("texts"), ElementsAre("a", "", "Ġb"));
  EXPECT_THAT(*content.metadata.integers("i32s"), ElementsAre(1, -2));
  EXPECT_THAT(*content.metadata.integers("u32s"), ElementsAre(1, 2));
  EXPECT_THAT(*content.metadata.integers("i64s"), ElementsAre(-1));
  EXPECT_THAT(*content.metadata.integers("u64s"), ElementsAre(1));
  EXPECT_THAT(*content.metadata.numbers("f32s"), ElementsAre(0.5));
  EXPECT_THAT(*content.metadata.booleans("bools"), ElementsAre(true, false));

  ASSERT_EQ(content.tensors.size(), 3u);
  EXPECT_EQ(content.tensors[1].name, "exps.weight");
  EXPECT_EQ(content.tensors[1].shape, (Shape{2, 3, 4}));
  EXPECT_EQ(content.tensors[1].data[1], std::byte{33});
  EXPECT_EQ(content.tensors[2].dtype, DType::kQ8_0);
  EXPECT_EQ(content.tensors[2].data.size(), 3 * 68u);
}

TEST(GgufWriter, WritesTheBytesOfTheFormat) {
  const GgufLayout layout = gguf_layout(std::vector<GgufKeyValue>{{"k", uint32_t{7}}},
                                        std::vector<GgufTensorSpec>{{"t", DType::kF16, {3, 2}}});
  RawGguf expected;
  expected.metadata = {raw_u32("k", 7)};
  expected.tensors = {raw_tensor("t", {2, 3}, 1, 0)};
  std::string header = expected.str();
  header.resize((header.size() + 31) / 32 * 32);
  EXPECT_EQ(layout.header, header);
}

TEST(GgufWriter, HonoursTheAlignment) {
  const GgufLayout layout = gguf_layout(std::vector<GgufKeyValue>{{"general.alignment", uint32_t{128}}},
                                        std::vector<GgufTensorSpec>{{"a", DType::kF32, {1}}, {"b", DType::kF32, {1}}});
  EXPECT_EQ(layout.alignment, 128u);
  EXPECT_EQ(layout.offsets[1] - layout.offsets[0], 128u);
  EXPECT_EQ(layout.header.size() % 128, 0u);
  const std::string file = file_of(layout);
  EXPECT_EQ(parse_gguf(as_bytes(file), "w.gguf").alignment, 128u);
}

TEST(GgufWriter, WritesNoTensors) {
  const GgufLayout layout = gguf_layout({}, {});
  EXPECT_EQ(layout.file_bytes, 32u);
  EXPECT_TRUE(parse_gguf(as_bytes(layout.header), "w.gguf").tensors.empty());
}

TEST(GgufWriter, RefusesWhatNoReaderTakes) {
  const auto refused = [](const GgufKeyValue& entry) {
    return caught([&] { gguf_layout(std::vector<GgufKeyValue>{entry}, {}); });
  };
  EXPECT_THAT(refused({"", uint32_t{1}}).what(), HasSubstr("expected a key of 1 to 65535 bytes"));
  EXPECT_THAT(refused({std::string(65536, 'k'), uint32_t{1}}).what(), HasSubstr("expected a key"));
  EXPECT_THAT(refused({"\xFF", uint32_t{1}}).what(), HasSubstr("UTF-8"));
  EXPECT_THAT(refused({"general.alignment", uint32_t{24}}).what(), HasSubstr("power of two"));
  EXPECT_THAT(refused({"general.alignment", uint64_t{32}}).what(), HasSubstr("expected a u32"));
  const std::vector<GgufKeyValue> twice = {{"k", true}, {"k", false}};
  EXPECT_THAT(caught([&] { gguf_layout(twice, {}); }).what(), HasSubstr("metadata \"k\" twice"));

  const auto tensor_refused = [](std::vector<GgufTensorSpec> tensors) {
    return caught([&] { gguf_layout({}, tensors); });
  };
  EXPECT_THAT(tensor_refused({{"", DType::kF32, {1}}}).what(), HasSubstr("name of 1 to 63 bytes"));
  EXPECT_THAT(tensor_refused({{std::string(64, 'n'), DType::kF32, {1}}}).what(), HasSubstr("1 to 63 bytes"));
  EXPECT_THAT(tensor_refused({{"t", DType::kF32, {}}}).what(), HasSubstr("0 dimensions"));
  EXPECT_THAT(tensor_refused({{"t", DType::kF32, {1, 1, 1, 1, 1}}}).what(), HasSubstr("5 dimensions"));
  EXPECT_THAT(tensor_refused({{"t", DType::kF32, {0, 4}}}).what(), HasSubstr("[0, 4]: expected 1 or more"));
  EXPECT_THAT(tensor_refused({{"t", DType::kF8E4M3, {4}}}).what(), HasSubstr("GGUF has no type F8_E4M3"));
  EXPECT_THAT(tensor_refused({{"t", DType::kQ4_K, {256, 32}}}).what(), HasSubstr("blocks of 256"));
  EXPECT_THAT(tensor_refused({{"t", DType::kF32, {1}}, {"t", DType::kF32, {1}}}).what(),
              HasSubstr("tensor \"t\" twice"));
  EXPECT_EQ(tensor_refused({{"t", DType::kF32, {int64_t{1} << 62}}}).code(), ErrorCode::kLimit);
  EXPECT_EQ(tensor_refused({{"t", DType::kI8, {(int64_t{1} << 62)}}, {"u", DType::kI8, {int64_t{1} << 62}}}).code(),
            ErrorCode::kLimit);
}

}  // namespace
}  // namespace glimmer

#include "format/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "format/raw_gguf.h"

namespace glimmer {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr uint32_t kF32 = 0;
constexpr uint32_t kQ4_0 = 2;
constexpr uint32_t kQ4_K = 12;
constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();

GgufContent parse(std::string_view file) { return parse_gguf(as_bytes(file), "x.gguf"); }

// Two tensors, 32 and 36 bytes with padding, and some metadata.
RawGguf sample() {
  RawGguf file;
  file.metadata = {raw_key("general.architecture", GgufType::kString).text("glm4moe").str(),
                   raw_u32("glm4moe.block_count", 47)};
  file.tensors = {raw_tensor("token_embd.weight", {4, 2}, kF32, 0), raw_tensor("a.weight", {64}, kQ4_0, 32)};
  file.data_bytes = 32 + 64;
  return file;
}

TEST(Gguf, ReadsTensorsInNameOrder) {
  const std::string bytes = sample().str();
  const GgufContent content = parse(bytes);
  EXPECT_EQ(content.version, 3u);
  EXPECT_EQ(content.alignment, 32u);
  ASSERT_EQ(content.tensors.size(), 2u);
  const TensorInfo& a = content.tensors[0];
  EXPECT_EQ(a.name, "a.weight");
  EXPECT_EQ(a.dtype, DType::kQ4_0);
  EXPECT_EQ(a.shape, (Shape{64}));
  ASSERT_EQ(a.data.size(), 36u);
  EXPECT_EQ(a.data[0], std::byte{32});
  EXPECT_EQ(a.file, "x.gguf");
  const TensorInfo& embedding = content.tensors[1];
  EXPECT_EQ(embedding.shape, (Shape{2, 4}));  // extents outermost first
  EXPECT_EQ(embedding.data.size(), 32u);
  EXPECT_EQ(embedding.data[31], std::byte{31});
}

TEST(Gguf, ReadsVersion2) {
  RawGguf file = sample();
  file.version = 2;
  EXPECT_EQ(parse(file.str()).version, 2u);
}

TEST(Gguf, ReadsEveryTypeOfMetadata) {
  const auto array = [](std::string_view key, GgufType element, uint64_t count) {
    return raw_key(key, GgufType::kArray).u32(static_cast<uint32_t>(element)).u64(count);
  };
  RawGguf file;
  file.metadata = {raw_key("u8", GgufType::kU8).u8(200).str(),
                   raw_key("i8", GgufType::kI8).u8(0xFF).str(),
                   raw_key("u16", GgufType::kU16).u16(60000).str(),
                   raw_key("i16", GgufType::kI16).u16(0xFFFE).str(),
                   raw_key("u32", GgufType::kU32).u32(4000000000).str(),
                   raw_key("i32", GgufType::kI32).u32(0xFFFFFFFD).str(),
                   raw_key("u64", GgufType::kU64).u64(kMax).str(),
                   raw_key("i64", GgufType::kI64).u64(kMax - 3).str(),
                   raw_key("f32", GgufType::kF32).f32(1.5625e-7F).str(),
                   raw_key("f64", GgufType::kF64).f64(0.1).str(),
                   raw_key("bool", GgufType::kBool).u8(1).str(),
                   raw_key("text", GgufType::kString).text("中").str(),
                   array("bools", GgufType::kBool, 2).u8(0).u8(1).str(),
                   array("numbers", GgufType::kF32, 2).f32(0.1F).f32(std::numeric_limits<float>::infinity()).str(),
                   array("integers", GgufType::kI32, 2).u32(7).u32(0xFFFFFFFF).str(),
                   array("texts", GgufType::kString, 3).text("a").text("").text("bc").str(),
                   array("none", GgufType::kString, 0).str()};
  const std::string bytes = file.str();
  const GgufMetadata metadata = parse(bytes).metadata;
  EXPECT_EQ(metadata.entries().size(), 17u);
  EXPECT_EQ(metadata.entries()[3].key, "i16");
  EXPECT_EQ(metadata.integer("u8"), 200);
  EXPECT_EQ(metadata.integer("i8"), -1);
  EXPECT_EQ(metadata.integer("u16"), 60000);
  EXPECT_EQ(metadata.integer("i16"), -2);
  EXPECT_EQ(metadata.integer("u32"), 4000000000);
  EXPECT_EQ(metadata.integer("i32"), -3);
  EXPECT_EQ(metadata.integer("i64"), -4);
  EXPECT_EQ(metadata.number("i32"), -3.0);
  EXPECT_EQ(metadata.number("f32"), 1.5625e-7);  // and not the f32 nearest to it
  EXPECT_EQ(metadata.number("f64"), 0.1);
  EXPECT_EQ(metadata.boolean("bool"), true);
  EXPECT_EQ(metadata.text("text"), "中");
  EXPECT_THAT(*metadata.booleans("bools"), ElementsAre(false, true));
  EXPECT_THAT(*metadata.numbers("numbers"), ElementsAre(0.1, std::numeric_limits<double>::infinity()));
  EXPECT_THAT(*metadata.integers("integers"), ElementsAre(7, -1));
  EXPECT_THAT(*metadata.texts("texts"), ElementsAre("a", "", "bc"));
  EXPECT_TRUE(metadata.texts("none")->empty());
  EXPECT_FALSE(metadata.integer("absent"));
  EXPECT_FALSE(metadata.numbers("absent"));
  EXPECT_EQ(metadata.texts("absent"), nullptr);

  const auto message = [&](auto&& action) { return std::string(caught(action).what()); };
  EXPECT_EQ(message([&] { metadata.integer("u64"); }),
            "x.gguf: metadata \"u64\": expected an integer, found u64 18446744073709551615");
  EXPECT_THAT(message([&] { metadata.integer("f32"); }), HasSubstr("expected an integer, found f32"));
  EXPECT_THAT(message([&] { metadata.integer("bool"); }), HasSubstr("found true"));
  EXPECT_THAT(message([&] { metadata.number("text"); }), HasSubstr("expected a number, found \"中\""));
  EXPECT_THAT(message([&] { metadata.number("numbers"); }), HasSubstr("found an array of 2 f32"));
  EXPECT_THAT(message([&] { metadata.boolean("u8"); }), HasSubstr("expected a bool, found u8 200"));
  EXPECT_THAT(message([&] { metadata.text("texts"); }), HasSubstr("expected a string, found an array of 3 string"));
  EXPECT_THAT(message([&] { metadata.texts("text"); }), HasSubstr("expected an array of strings"));
  EXPECT_THAT(message([&] { metadata.integers("bools"); }), HasSubstr("expected an array of integers"));
  EXPECT_THAT(message([&] { metadata.numbers("texts"); }), HasSubstr("expected an array of numbers"));
  EXPECT_THAT(message([&] { metadata.booleans("integers"); }), HasSubstr("expected an array of bools"));
  EXPECT_THAT(message([&] { metadata.require_integer("absent"); }),
              HasSubstr("\"absent\": expected an integer, found no"));
  EXPECT_THAT(message([&] { metadata.require_text("absent"); }), HasSubstr("no such key"));
  EXPECT_THAT(message([&] { metadata.require_number("absent"); }), HasSubstr("no such key"));
}

TEST(Gguf, KnowsTheTypesOfGgml) {
  struct {
    uint32_t id;
    const char* name;
    uint64_t values;
    size_t bytes;
  } const types[] = {{0, "F32", 1, 4},       {1, "F16", 1, 2},         {2, "Q4_0", 32, 18},    {3, "Q4_1", 32, 20},
                     {6, "Q5_0", 32, 22},    {7, "Q5_1", 32, 24},      {8, "Q8_0", 32, 34},    {10, "Q2_K", 256, 84},
                     {11, "Q3_K", 256, 110}, {12, "Q4_K", 256, 144},   {13, "Q5_K", 256, 176}, {14, "Q6_K", 256, 210},
                     {20, "IQ4_NL", 32, 18}, {23, "IQ4_XS", 256, 136}, {24, "I8", 1, 1},       {25, "I16", 1, 2},
                     {26, "I32", 1, 4},      {27, "I64", 1, 8},        {28, "F64", 1, 8},      {30, "BF16", 1, 2},
                     {39, "MXFP4", 32, 17}};
  for (const auto& type : types) {
    RawGguf file;
    file.tensors = {raw_tensor("t", {type.values * 2, 3}, type.id, 0)};
    file.data_bytes = type.bytes * 6;
    const std::string bytes = file.str();
    const GgufContent content = parse(bytes);
    EXPECT_EQ(dtype_name(content.tensors.at(0).dtype), type.name);
    EXPECT_EQ(content.tensors[0].data.size(), type.bytes * 6);
    EXPECT_EQ(ggml_type_id(content.tensors[0].dtype), type.id);
    EXPECT_EQ(ggml_type_name(type.id), type.name);
  }
  EXPECT_FALSE(ggml_type_id(DType::kF8E4M3));
}

TEST(Gguf, TakesALastTensorWithoutPadding) {
  RawGguf file = sample();
  file.data_bytes = 32 + 36;
  EXPECT_EQ(parse(file.str()).tensors.size(), 2u);
}

TEST(Gguf, HonoursTheAlignment) {
  RawGguf file;
  file.alignment = 8;
  file.metadata = {raw_u32("general.alignment", 8)};
  file.tensors = {raw_tensor("a", {3}, kF32, 0), raw_tensor("b", {2}, kF32, 16)};
  file.data_bytes = 24;
  const std::string bytes = file.str();
  const GgufContent content = parse(bytes);
  EXPECT_EQ(content.alignment, 8u);
  EXPECT_EQ(content.tensors[1].data[0], std::byte{16});
}

TEST(Gguf, ReadsAFileWithoutTensors) {
  RawGguf file;
  EXPECT_TRUE(parse(file.str()).tensors.empty());
  file.metadata = {raw_u32("general.alignment", 64)};
  EXPECT_EQ(parse(file.str()).alignment, 64u);
}

struct Fault {
  const char* name;
  std::string file;
  std::vector<std::string> message;  // parts of it
  ErrorCode code = ErrorCode::kInvalid;
};
void PrintTo(const Fault& fault, std::ostream* out) { *out << fault.name; }

class GgufFault : public ::testing::TestWithParam<Fault> {};

TEST_P(GgufFault, IsRefused) {
  // Its own allocation, so that the address sanitizer sees a read behind the end.
  const std::vector<char> bytes(GetParam().file.begin(), GetParam().file.end());
  const Error error = caught([&] { parse(std::string_view(bytes.data(), bytes.size())); });
  EXPECT_EQ(error.code(), GetParam().code);
  EXPECT_THAT(error.what(), StartsWith("x.gguf: "));
  for (const std::string& part : GetParam().message) EXPECT_THAT(error.what(), HasSubstr(part));
}

std::string with_header(std::string_view magic, uint32_t version) {
  RawGguf file = sample();
  file.magic = magic;
  file.version = version;
  return file.str();
}

INSTANTIATE_TEST_SUITE_P(
    Header, GgufFault,
    ::testing::Values(
        Fault{"Empty", "", {"magic: 4 bytes at byte 0, but only 0 are left"}},
        Fault{"Magic", with_header("GGML", 3), {"begins with \"GGML\", expected \"GGUF\""}},
        Fault{"LowerMagic", with_header("gguf", 3), {"this is not a GGUF file"}},
        Fault{"Version0", with_header("GGUF", 0), {"GGUF version 0 is not supported"}, ErrorCode::kUnsupported},
        Fault{"Version1", with_header("GGUF", 1), {"version 1 is not supported"}, ErrorCode::kUnsupported},
        Fault{"Version4", with_header("GGUF", 4), {"known: 2, 3"}, ErrorCode::kUnsupported},
        Fault{"BigEndian", with_header("GGUF", 0x03000000), {"big-endian file (version 3)"}, ErrorCode::kUnsupported},
        Fault{"NoCounts", std::string("GGUF\3\0\0\0", 8), {"number of tensors: 8 bytes at byte 8"}},
        Fault{"TensorCount", sample().str(uint64_t{1} << 60, 2), {"cannot be in a file of"}},
        Fault{"TensorCountMax", sample().str(kMax, 2), {"18446744073709551615 tensors"}},
        Fault{"KeyCountMax", sample().str(2, kMax), {"18446744073709551615 metadata entries"}},
        Fault{"KeyCountTooLarge", sample().str(2, 3), {"tensor 0: name: ", "at most 64"}},
        Fault{"KeyCountTooSmall", sample().str(2, 1), {}},
        Fault{"TensorCountTooSmall", sample().str(1, 2), {"96 bytes follow the last tensor, \"token_embd.weight\""}},
        Fault{"TensorCountTooLarge", sample().str(3, 2), {"tensor 2: "}}),
    [](const auto& test) { return test.param.name; });

std::string with_entries(std::vector<std::string> entries) {
  RawGguf file;
  file.metadata = std::move(entries);
  return file.str() + std::string(256, '\0');
}
RawBytes array_of(uint32_t element, uint64_t count) { return raw_key("k", GgufType::kArray).u32(element).u64(count); }

INSTANTIATE_TEST_SUITE_P(
    Metadata, GgufFault,
    ::testing::Values(
        Fault{
            "KeyLength", with_entries({RawBytes().u64(kMax).bytes("k").str()}), {"entry 0: key: 18446744073709551615"}},
        Fault{"KeyBeyondTheEnd", with_entries({RawBytes().u64(60000).bytes("k").str()}), {"key: 60000 bytes at byte"}},
        Fault{"KeyTooLong", with_entries({RawBytes().u64(65536).str()}), {"65536 bytes long, at most 65535"}},
        Fault{"KeyEmpty", with_entries({raw_u32("", 1)}), {"key: empty"}},
        Fault{"KeyTwice",
              with_entries({raw_u32("a", 1), raw_u32("b", 1), raw_u32("a", 2)}),
              {"metadata \"a\": the key is there twice"}},
        Fault{"Type13",
              with_entries({RawBytes().text("k").u32(13).u32(0).str()}),
              {"metadata \"k\": type: 13 is no type"}},
        Fault{"TypeMax", with_entries({RawBytes().text("k").u32(0xFFFFFFFF).str()}), {"4294967295 is no type"}},
        Fault{"Bool2", with_entries({raw_key("k", GgufType::kBool).u8(2).str()}), {"a bool is 2, expected 0 or 1"}},
        Fault{"BoolInArray", with_entries({array_of(7, 3).u8(0).u8(1).u8(9).str()}), {"a bool is 9"}},
        Fault{"StringLength",
              with_entries({raw_key("k", GgufType::kString).u64(kMax).str()}),
              {"string: 18446744073709551615"}},
        Fault{"StringBeyondTheEnd", with_entries({raw_key("k", GgufType::kString).u64(5000).str()}), {"5000 bytes at"}},
        Fault{"NestedArray",
              with_entries({array_of(9, 1).u32(4).u64(0).str()}),
              {"arrays of arrays"},
              ErrorCode::kUnsupported},
        Fault{"ArrayType", with_entries({array_of(77, 1).str()}), {"type of the elements: 77 is no type"}},
        Fault{"ArrayOverflow", with_entries({array_of(4, uint64_t{1} << 62).str()}), {"overflow 64 bits"}},
        Fault{"ArrayMax", with_entries({array_of(0, kMax).str()}), {"elements: 18446744073709551615 bytes"}},
        Fault{"ArrayBeyondTheEnd", with_entries({array_of(4, 1000).str()}), {"elements: 4000 bytes"}},
        Fault{"StringsMax", with_entries({array_of(8, kMax).str()}), {"18446744073709551615 strings cannot be in"}},
        Fault{"StringsBeyondTheEnd", with_entries({array_of(8, 100).str()}), {"100 strings cannot be in"}},
        Fault{"StringsTooLong", with_entries({array_of(8, 2).text("a").u64(9999).str()}), {"string: 9999 bytes"}},
        Fault{"Alignment0", with_entries({raw_u32("general.alignment", 0)}), {"expected a power of two, found u32 0"}},
        Fault{
            "Alignment24", with_entries({raw_u32("general.alignment", 24)}), {"expected a power of two, found u32 24"}},
        Fault{"AlignmentType",
              with_entries({raw_key("general.alignment", GgufType::kU64).u64(32).str()}),
              {"\"general.alignment\": expected a u32, found u64 32"}}),
    [](const auto& test) { return test.param.name; });

std::string with_tensors(std::vector<std::string> rows, size_t data_bytes = 64) {
  RawGguf file;
  file.tensors = std::move(rows);
  file.data_bytes = data_bytes;
  return file.str();
}
std::string one_tensor(const std::vector<uint64_t>& extents, uint32_t type = kF32, uint64_t offset = 0) {
  return with_tensors({raw_tensor("t", extents, type, offset)});
}

INSTANTIATE_TEST_SUITE_P(
    Tensors, GgufFault,
    ::testing::Values(
        Fault{"NameEmpty", with_tensors({raw_tensor("", {8}, kF32, 0)}), {"tensor 0: name: empty"}},
        Fault{"NameTooLong",
              with_tensors({raw_tensor(std::string(65, 'n'), {8}, kF32, 0)}),
              {"65 bytes long, at most 64"}},
        Fault{"NameLength", with_tensors({RawBytes().u64(kMax).bytes(std::string(30, 'n')).str()}), {"at most 64"}},
        Fault{"NameNotUtf8", with_tensors({raw_tensor("\xFFt", {8}, kF32, 0)}), {"is not UTF-8"}},
        Fault{"NameTwice",
              with_tensors({raw_tensor("t", {8}, kF32, 0), raw_tensor("t", {8}, kF32, 32)}),
              {"tensor \"t\": the name is there twice"}},
        Fault{"Rank0", one_tensor({}), {"0 dimensions, expected 1 to 4"}},
        Fault{"Rank5", one_tensor({1, 1, 1, 1, 1}), {"5 dimensions, expected 1 to 4"}},
        Fault{"RankMax",
              with_tensors({RawBytes().text("t").u32(0xFFFFFFFF).u64(1).u64(1).str()}),
              {"4294967295 dimensions"}},
        Fault{"Extent0", one_tensor({8, 0}), {"tensor \"t\": dimension 1 is 0, expected 1"}},
        Fault{"ExtentNegative", one_tensor({uint64_t{1} << 63}), {"dimension 0 is 9223372036854775808"}},
        Fault{"ExtentMax", one_tensor({1, kMax}), {"dimension 1 is 18446744073709551615"}},
        Fault{"ProductOverflows",
              one_tensor({uint64_t{1} << 32, uint64_t{1} << 31}),
              {"product of the dimensions overflows"}},
        Fault{"ProductWraps", one_tensor({uint64_t{1} << 32, uint64_t{1} << 32, 4}), {"overflows 63 bits"}},
        Fault{"BytesOverflow", one_tensor({uint64_t{1} << 62}), {"[4611686018427387904] of F32 overflow 63 bits"}},
        Fault{"Blocks", one_tensor({40}, kQ4_0), {"rows of 40 values, but Q4_0 comes in blocks of 32"}},
        Fault{"BlocksInAMatrix", one_tensor({128, 2}, kQ4_K), {"rows of 128 values, but Q4_K comes in blocks of 256"}},
        Fault{"TypeIq",
              one_tensor({256}, 16),
              {"tensor \"t\": type IQ2_XXS is not supported", "IQ4_XS"},
              ErrorCode::kUnsupported},
        Fault{"TypeWithdrawn", one_tensor({32}, 4), {"type Q4_2 is not supported"}, ErrorCode::kUnsupported},
        Fault{"TypeOfComputation", one_tensor({32}, 9), {"type Q8_1"}, ErrorCode::kUnsupported},
        Fault{"TypeUnknown",
              one_tensor({32}, 42),
              {"tensor \"t\": type 42 is not known; read are F32"},
              ErrorCode::kUnsupported},
        Fault{"TypeMax", one_tensor({32}, 0xFFFFFFFF), {"type 4294967295"}, ErrorCode::kUnsupported},
        Fault{"OffsetMisaligned", one_tensor({8}, kF32, 4), {"offset 4 is not a multiple of the alignment 32"}},
        Fault{"OffsetOfTheFirst", one_tensor({8}, kF32, 32), {"offset 32, expected 0 for the first tensor"}},
        Fault{"OffsetMax", one_tensor({8}, kF32, kMax - 31), {"offset 18446744073709551584"}},
        Fault{"OffsetOverlaps",
              with_tensors({raw_tensor("a", {16}, kF32, 0), raw_tensor("b", {8}, kF32, 32)}, 96),
              {"tensor \"b\": offset 32, expected 64: it overlaps or comes before tensor \"a\""}},
        Fault{"OffsetGap",
              with_tensors({raw_tensor("a", {8}, kF32, 0), raw_tensor("b", {8}, kF32, 64)}, 96),
              {"tensor \"b\": offset 64, expected 32: it leaves a gap behind tensor \"a\""}},
        Fault{"OffsetsNotInOrder",
              with_tensors({raw_tensor("a", {8}, kF32, 32), raw_tensor("b", {8}, kF32, 0)}),
              {"tensor \"a\": offset 32, expected 0"}},
        Fault{
            "DataTooShort", with_tensors({raw_tensor("t", {17}, kF32, 0)}), {"68 bytes at offset 0 end beyond the 64"}},
        Fault{"DataMissing", with_tensors({raw_tensor("t", {8}, kF32, 0)}, 0), {}},
        Fault{"DataTooLong",
              with_tensors({raw_tensor("t", {8}, kF32, 0)}, 33),
              {"1 bytes follow the last tensor, \"t\""}}),
    [](const auto& test) { return test.param.name; });

TEST(GgufTruncated, AtEveryByte) {
  RawGguf file = sample();
  file.metadata.push_back(raw_key("tokens", GgufType::kArray).u32(8).u64(3).text("a").text("b").text("Ġthe").str());
  file.tensors = {raw_tensor("a", {64}, kQ4_0, 0), raw_tensor("b", {8, 2}, kF32, 64)};
  file.data_bytes = 128;
  const std::string whole = file.str();
  parse(whole);
  for (size_t size = 0; size < whole.size(); ++size) {
    const std::vector<char> part(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size));
    const Error error = caught([&] { parse(std::string_view(part.data(), part.size())); });
    EXPECT_EQ(error.code(), ErrorCode::kInvalid) << size;
  }
}

// Each byte set to 0, to 255, and with each bit flipped: refused or read, never a crash.
TEST(GgufDamaged, AtEveryByte) {
  const std::string whole = sample().str();
  int refused = 0;
  for (size_t at = 0; at < whole.size() - sample().data_bytes; ++at) {
    for (int change = 0; change < 10; ++change) {
      std::vector<char> bytes(whole.begin(), whole.end());
      bytes[at] = static_cast<char>(change == 8 ? 0 : change == 9 ? 255 : bytes[at] ^ 1 << change);
      try {
        parse(std::string_view(bytes.data(), bytes.size()));
      } catch (const Error&) {
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, 500);
}

TEST(GgufFile, MapsAndFinds) {
  const TempFolder folder;
  write_text(folder / "t.gguf", sample().str());
  const GgufFile file(folder / "t.gguf");
  EXPECT_EQ(file.size_bytes(), sample().str().size());
  EXPECT_EQ(file.metadata().integer("glm4moe.block_count"), 47);
  ASSERT_NE(file.find("a.weight"), nullptr);
  EXPECT_EQ(file.find("a.weight")->file, (folder / "t.gguf").string());
  EXPECT_EQ(file.find("a"), nullptr);
  EXPECT_EQ(file.find("z"), nullptr);
  EXPECT_EQ(open_gguf(folder / "t.gguf").size(), 1u);
  EXPECT_EQ(caught([&] { GgufFile(folder / "absent.gguf"); }).code(), ErrorCode::kNotFound);
}

// A file of a split model with one tensor.
std::string split_file(uint16_t number, uint16_t count, uint32_t tensors, std::string_view tensor) {
  RawGguf file;
  file.metadata = {raw_key("split.no", GgufType::kU16).u16(number).str(),
                   raw_key("split.count", GgufType::kU16).u16(count).str(),
                   raw_key("split.tensors.count", GgufType::kI32).u32(tensors).str()};
  if (number == 0) file.metadata.insert(file.metadata.begin(), raw_u32("first", 1));
  file.tensors = {raw_tensor(tensor, {8}, kF32, 0)};
  file.data_bytes = 32;
  return file.str();
}

TEST(GgufSplit, OpensAllOfThemFromAnyOne) {
  const TempFolder folder;
  const std::vector<std::string> names = {"m-00001-of-00003.gguf", "m-00002-of-00003.gguf", "m-00003-of-00003.gguf"};
  for (uint16_t i = 0; i < 3; ++i) write_text(folder / names[i], split_file(i, 3, 3, fmt::format("t{}", i)));
  for (const std::string& name : names) {
    const auto files = open_gguf(folder / name);
    ASSERT_EQ(files.size(), 3u);
    for (size_t i = 0; i < 3; ++i) EXPECT_EQ(files[i]->path().filename(), names[i]);
    EXPECT_TRUE(files[0]->metadata().has("first"));
  }
}

TEST(GgufSplit, MustBelongTogether) {
  const TempFolder folder;
  const auto message = [&](const char* name) { return std::string(caught([&] { open_gguf(folder / name); }).what()); };
  write_text(folder / "m-00001-of-00002.gguf", split_file(0, 2, 2, "a"));
  EXPECT_EQ(caught([&] { open_gguf(folder / "m-00001-of-00002.gguf"); }).code(), ErrorCode::kNotFound);
  EXPECT_THAT(message("m-00001-of-00002.gguf"), HasSubstr("m-00002-of-00002.gguf"));

  write_text(folder / "m-00002-of-00002.gguf", split_file(1, 2, 2, "a"));
  EXPECT_THAT(message("m-00001-of-00002.gguf"), AllOf(HasSubstr("tensor \"a\" is in"), HasSubstr("as well")));
  write_text(folder / "m-00002-of-00002.gguf", split_file(1, 2, 3, "b"));
  EXPECT_THAT(message("m-00001-of-00002.gguf"), HasSubstr("split.tensors.count 3: expected 1, 2, 2 beside"));
  write_text(folder / "m-00002-of-00002.gguf", split_file(0, 2, 2, "b"));
  EXPECT_THAT(message("m-00001-of-00002.gguf"), HasSubstr("split.no 0"));
  write_text(folder / "m-00002-of-00002.gguf", split_file(1, 3, 2, "b"));
  EXPECT_THAT(message("m-00001-of-00002.gguf"), HasSubstr("split.count 3"));

  write_text(folder / "m-00001-of-00002.gguf", split_file(0, 2, 5, "a"));
  write_text(folder / "m-00002-of-00002.gguf", split_file(1, 2, 5, "b"));
  EXPECT_THAT(message("m-00001-of-00002.gguf"), HasSubstr("split.tensors.count is 5, but the 2 files have 2 tensors"));

  write_text(folder / "renamed.gguf", split_file(0, 2, 2, "a"));
  EXPECT_THAT(message("renamed.gguf"), HasSubstr("expected a name that ends in -00001-of-00002.gguf"));
  write_text(folder / "beyond.gguf", split_file(2, 2, 2, "a"));
  EXPECT_THAT(message("beyond.gguf"), HasSubstr("\"split.no\": expected a number below split.count 2, found u16 2"));
  RawGguf without;
  without.metadata = {raw_key("split.count", GgufType::kU16).u16(2).str()};
  write_text(folder / "without.gguf", without.str());
  EXPECT_THAT(message("without.gguf"), HasSubstr("\"split.no\": expected a number, as split.count is there"));
}

// Sparse: 64 GB by its size, a few KB on the disk.
TEST(GgufFile, OpensHugeFilesWithoutReadingThem) {
  constexpr uint64_t kBytes = uint64_t{64} << 30;
  const TempFolder folder;
  RawGguf file;
  file.tensors = {raw_tensor("t", {kBytes}, 24, 0)};
  file.data_bytes = 32;
  const size_t header = file.str().size() - 32;
  write_text(folder / "huge.gguf", file.str());
  std::error_code error;
  std::filesystem::resize_file(folder / "huge.gguf", header + kBytes, error);
  if (error) GTEST_SKIP() << "no sparse files here: " << error.message();
  const GgufFile huge(folder / "huge.gguf");
  EXPECT_EQ(huge.tensors()[0].data.size(), kBytes);
  EXPECT_EQ(huge.tensors()[0].data.back(), std::byte{0});

  // Counts that so long a file could hold are refused before anything is allocated for them.
  RawGguf absurd;
  absurd.metadata = {array_of(8, uint64_t{1} << 30).str()};
  write_text(folder / "absurd.gguf", absurd.str());
  std::filesystem::resize_file(folder / "absurd.gguf", kBytes);
  EXPECT_EQ(caught([&] { GgufFile(folder / "absurd.gguf"); }).code(), ErrorCode::kLimit);
  write_text(folder / "absurd.gguf", RawGguf().str(uint64_t{1} << 30, 1));
  std::filesystem::resize_file(folder / "absurd.gguf", kBytes);
  EXPECT_EQ(caught([&] { GgufFile(folder / "absurd.gguf"); }).code(), ErrorCode::kLimit);
}

}  // namespace
}  // namespace glimmer

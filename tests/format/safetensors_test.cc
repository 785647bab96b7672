#include "format/safetensors.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>
#include <vector>

#include "format/raw_safetensors.h"

namespace glimmer {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

SafetensorsContent parse(std::string_view file) { return parse_safetensors(as_bytes(file), "x.safetensors"); }

TEST(Safetensors, ReadsTensorsInNameOrder) {
  const std::string file = raw_safetensors(
      R"({"b":{"dtype":"U8","shape":[2],"data_offsets":[16,18]},"__metadata__":{"format":"pt","k":"é"},)"
      R"("a":{"data_offsets":[0,16],"shape":[2,2],"dtype":"F32"}}   )",
      18);
  const SafetensorsContent content = parse(file);
  ASSERT_EQ(content.tensors.size(), 2u);
  const TensorInfo& a = content.tensors[0];
  EXPECT_EQ(a.name, "a");
  EXPECT_EQ(a.dtype, DType::kF32);
  EXPECT_EQ(a.shape, (Shape{2, 2}));
  EXPECT_EQ(a.data.size(), 16u);
  EXPECT_EQ(a.data[3], std::byte{3});
  EXPECT_EQ(a.file, "x.safetensors");
  const TensorInfo& b = content.tensors[1];
  EXPECT_EQ(b.name, "b");
  EXPECT_EQ(b.data[1], std::byte{17});
  EXPECT_EQ(content.metadata, (std::map<std::string, std::string>{{"format", "pt"}, {"k", "é"}}));
}

TEST(Safetensors, KnowsEveryDtype) {
  for (const char* name : {"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2", "I64", "U64", "I32", "U32", "I16", "U16",
                           "I8", "U8", "BOOL"}) {
    const size_t size = dtype_size_bytes(parse_dtype(name).value());
    const std::string file = raw_safetensors(
        fmt::format(R"({{"t":{{"dtype":"{}","shape":[3],"data_offsets":[0,{}]}}}})", name, 3 * size), 3 * size);
    EXPECT_EQ(dtype_name(parse(file).tensors.at(0).dtype), name);
  }
}

TEST(Safetensors, ReadsScalarsAndEmptyTensors) {
  const SafetensorsContent content =
      parse(raw_safetensors(R"({"scalar":{"dtype":"F32","shape":[],"data_offsets":[0,4]},)"
                            R"("e":{"dtype":"F32","shape":[0,7],"data_offsets":[4,4]},)"
                            R"("front":{"dtype":"I64","shape":[0],"data_offsets":[0,0]},)"
                            R"("wide":{"dtype":"U8","shape":[0,4611686018427387904],"data_offsets":[4,4]}})",
                            4));
  ASSERT_EQ(content.tensors.size(), 4u);
  EXPECT_EQ(content.tensors[2].shape.rank(), 0);
  EXPECT_EQ(content.tensors[2].data.size(), 4u);
  EXPECT_EQ(content.tensors[0].data.size(), 0u);
  EXPECT_EQ(content.tensors[0].shape.element_count(), 0);
}

TEST(Safetensors, ReadsAFileWithoutTensors) {
  EXPECT_TRUE(parse(raw_safetensors("{}", 0)).tensors.empty());
  EXPECT_EQ(parse(raw_safetensors(R"({"__metadata__":{"a":"b"}})", 0)).metadata.size(), 1u);
}

TEST(Safetensors, UnescapesNames) {
  const SafetensorsContent content =
      parse(raw_safetensors(R"({"\u0061\"\n\ud83d\ude00":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1));
  EXPECT_EQ(content.tensors.at(0).name, "a\"\n😀");
}

TEST(Safetensors, CopiesUnalignedTensors) {
  // 73 header bytes: the data begins at byte 81 of the file.
  const std::string file =
      raw_safetensors(R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})" + std::string(19, ' '), 8);
  std::vector<uint64_t> aligned(file.size() / 8 + 1);
  std::memcpy(aligned.data(), file.data(), file.size());
  const SafetensorsContent content =
      parse_safetensors(std::as_bytes(std::span(aligned)).first(file.size()), "x.safetensors");
  const TensorInfo& tensor = content.tensors.at(0);
  EXPECT_FALSE(tensor.is_aligned());
  Tensor copy;
  const ConstTensorView view = tensor.view(copy);
  EXPECT_EQ(view.data, copy.view().data);
  EXPECT_EQ(std::memcmp(view.as<float>(), tensor.data.data(), 8), 0);
}

struct Fault {
  const char* name;
  std::string header;
  size_t data_bytes;
  std::vector<std::string> message;
  ErrorCode code = ErrorCode::kInvalid;
};

void PrintTo(const Fault& fault, std::ostream* out) { *out << fault.name; }

// A tensor "t" with these fields.
std::string entry(std::string_view dtype, std::string_view shape, std::string_view offsets) {
  return fmt::format(R"({{"t":{{"dtype":{},"shape":{},"data_offsets":{}}}}})", dtype, shape, offsets);
}
std::string f32_entry(std::string_view shape, std::string_view offsets) { return entry("\"F32\"", shape, offsets); }

// Two tensors of `a` and `b` bytes ranges.
std::string two_entries(std::string_view first, std::string_view second, std::string_view shape = "[8]") {
  return fmt::format(R"({{"first":{{"dtype":"U8","shape":{2},"data_offsets":{0}}},"second":{{"dtype":"U8","shape":{2},)"
                     R"("data_offsets":{1}}}}})",
                     first, second, shape);
}

class SafetensorsFault : public ::testing::TestWithParam<Fault> {};

TEST_P(SafetensorsFault, IsNamed) {
  const Fault& fault = GetParam();
  const Error error = caught([&] { parse(raw_safetensors(fault.header, fault.data_bytes)); });
  EXPECT_EQ(error.code(), fault.code) << error.what();
  EXPECT_THAT(error.what(), StartsWith("x.safetensors: "));
  for (const std::string& part : fault.message) EXPECT_THAT(error.what(), HasSubstr(part));
}

INSTANTIATE_TEST_SUITE_P(
    Json, SafetensorsFault,
    ::testing::Values(
        Fault{"NoBrace", R"([{"t":1}])", 0, {"begins with byte 0x5b", "expected '{'"}},
        Fault{"LeadingSpace", " {}", 0, {"begins with byte 0x20"}},
        Fault{"ByteOrderMark", "\xEF\xBB\xBF{}", 0, {"begins with byte 0xef"}},
        Fault{"Unclosed", R"({"t":)", 0, {"not valid JSON"}}, Fault{"TrailingText", "{} x", 0, {"not valid JSON"}},
        Fault{"TwoDocuments", "{}{}", 0, {"not valid JSON"}},
        Fault{"ZeroPadding", std::string("{}\0\0", 4), 0, {"not valid JSON"}},
        Fault{"TrailingComma", R"({"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},})", 1, {"not valid JSON"}},
        Fault{"SingleQuotes", "{'t':1}", 0, {"not valid JSON"}},
        Fault{"NotUtf8", "{\"\xFF\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, {"not valid UTF-8"}},
        Fault{"OverlongUtf8", "{\"\xC0\xAF\":{}}", 0, {"not valid UTF-8"}},
        Fault{"RawSurrogate", "{\"\xED\xA0\x80\":{}}", 0, {"not valid UTF-8"}},
        Fault{"LoneHighSurrogate",
              R"({"\ud800":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
              1,
              {"not valid JSON"}},
        Fault{
            "LoneLowSurrogate", R"({"\udc00":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1, {"not valid JSON"}},
        Fault{"DeepArrays",
              R"({"t":)" + std::string(100'000, '[') + std::string(100'000, ']') + "}",
              0,
              {"nested too deep"}},
        Fault{"DeepObjects", R"({"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{}}}}}}}}})", 0, {"nested too deep"}},
        Fault{"DeepUnclosed", R"({"t":)" + std::string(1'000'000, '['), 0, {}},
        Fault{"NestedShape", f32_entry("[[1]]", "[0,4]"), 4, {"tensor \"t\": shape", "found [1]"}}),
    [](const auto& test) { return test.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Fields, SafetensorsFault,
    ::testing::Values(
        Fault{"DuplicateTensor",
              R"({"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
              R"("t":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
              2,
              {"tensor \"t\" appears twice"}},
        Fault{"DuplicateEmptyTensor",
              R"({"t":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},)"
              R"("\u0074":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})",
              0,
              {"tensor \"t\" appears twice"}},
        Fault{"DuplicateDtype",
              R"({"t":{"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]}})",
              1,
              {"tensor \"t\": dtype: given twice"}},
        Fault{"DuplicateShape",
              R"({"t":{"dtype":"U8","shape":[1],"shape":[1],"data_offsets":[0,1]}})",
              1,
              {"shape: given twice"}},
        Fault{"DuplicateOffsets",
              R"({"t":{"data_offsets":[0,1],"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
              1,
              {"data_offsets: given twice"}},
        Fault{"MissingDtype", R"({"t":{"shape":[1],"data_offsets":[0,1]}})", 1, {"tensor \"t\": dtype: missing"}},
        Fault{"MissingShape", R"({"t":{"dtype":"U8","data_offsets":[0,1]}})", 1, {"shape: missing"}},
        Fault{"MissingOffsets", R"({"t":{"dtype":"U8","shape":[1]}})", 1, {"data_offsets: missing"}},
        Fault{"EmptyEntry", R"({"t":{}})", 0, {"dtype: missing"}},
        Fault{"UnknownField",
              R"({"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"strides":[1]}})",
              1,
              {"unknown field \"strides\"", "expected dtype, shape and data_offsets"}},
        Fault{"EntryIsArray", R"({"t":[]})", 0, {"tensor \"t\": expected an object, found []"}},
        Fault{"EntryIsNull", R"({"t":null})", 0, {"expected an object, found null"}},
        Fault{"EntryIsNumber", R"({"t":7})", 0, {"expected an object, found 7"}},
        Fault{"DtypeIsNumber", entry("32", "[1]", "[0,4]"), 4, {"dtype: expected a string, found 32"}},
        Fault{"DtypeIsNull", entry("null", "[1]", "[0,4]"), 4, {"dtype: expected a string, found null"}},
        Fault{"DtypeUnknown",
              entry("\"F4\"", "[8]", "[0,4]"),
              4,
              {"dtype: \"F4\" is not known; known are F64, F32"},
              ErrorCode::kUnsupported},
        Fault{"DtypeLowerCase", entry("\"f32\"", "[1]", "[0,4]"), 4, {"\"f32\" is not known"}, ErrorCode::kUnsupported},
        Fault{"DtypeEmpty", entry("\"\"", "[1]", "[0,4]"), 4, {"\"\" is not known"}, ErrorCode::kUnsupported},
        Fault{"DtypeWrong", entry("\"F64\"", "[1]", "[0,4]"), 4, {"[0, 4] hold 4 bytes, but F64 [1] is 8 bytes"}},
        Fault{
            "MetadataIsArray", R"({"__metadata__":[]})", 0, {"__metadata__: expected an object of strings, found []"}},
        Fault{"MetadataIsNull", R"({"__metadata__":null})", 0, {"__metadata__: expected an object"}},
        Fault{"MetadataNumber", R"({"__metadata__":{"a":1}})", 0, {"__metadata__: \"a\": expected a string, found 1"}},
        Fault{"MetadataNested", R"({"__metadata__":{"a":{"b":"c"}}})", 0, {"\"a\": expected a string"}},
        Fault{"MetadataTwice", R"({"__metadata__":{},"__metadata__":{}})", 0, {"__metadata__ appears twice"}},
        Fault{"MetadataKeyTwice", R"({"__metadata__":{"a":"1","a":"2"}})", 0, {"\"a\" appears twice"}},
        Fault{"MetadataSurrogate", R"({"__metadata__":{"a":"\udc00"}})", 0, {"not valid JSON"}},
        Fault{"NameWithControls", R"({"\u001b[31m\nred":7})", 0, {R"("\u001b[31m\u000ared")"}}),
    [](const auto& test) { return test.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Shapes, SafetensorsFault,
    ::testing::Values(
        Fault{"IsNumber", f32_entry("4", "[0,16]"), 16, {"shape: expected an array of integers, found 4"}},
        Fault{"IsObject", f32_entry("{}", "[0,16]"), 16, {"shape: expected an array"}},
        Fault{"Negative", f32_entry("[-1]", "[0,4]"), 4, {"shape: expected integers from 0", "found -1"}},
        Fault{"TwoNegatives", f32_entry("[-1,-1]", "[0,4]"), 4, {"found -1"}},
        Fault{"Float", f32_entry("[1.0]", "[0,4]"), 4, {"shape: expected integers", "found 1"}},
        Fault{"Exponent", f32_entry("[1e0]", "[0,4]"), 4, {"shape: expected integers"}},
        Fault{"String", f32_entry("[\"1\"]", "[0,4]"), 4, {"found \"1\""}},
        Fault{"Bool", f32_entry("[true]", "[0,4]"), 4, {"found true"}},
        Fault{"Null", f32_entry("[null]", "[0,4]"), 4, {"found null"}},
        Fault{"NaN", f32_entry("[NaN]", "[0,4]"), 4, {"not valid JSON"}},
        Fault{"Infinity", f32_entry("[1e999]", "[0,4]"), 4, {}},
        Fault{"LeadingZero", f32_entry("[01]", "[0,4]"), 4, {"not valid JSON"}},
        Fault{"Dim2To63", f32_entry("[9223372036854775808]", "[0,4]"), 4, {"found 9223372036854775808"}},
        Fault{"Dim2To64", f32_entry("[18446744073709551616]", "[0,4]"), 4, {}},
        Fault{"ProductOverflows", f32_entry("[4294967296,4294967296]", "[0,0]"), 0, {"shape: ", "overflows 64 bits"}},
        Fault{"ProductWrapsToOne", f32_entry("[9223372036854775807,9223372036854775807]", "[0,4]"), 4, {"overflows"}},
        Fault{"ProductOverflowsBeforeZero", f32_entry("[4611686018427387904,4,0]", "[0,0]"), 0, {"overflows"}},
        Fault{"BytesOverflow",
              f32_entry("[4611686018427387904]", "[0,0]"),
              0,
              {"[4611686018427387904] x F32 overflows 64 bits"}},
        Fault{"TooMany",
              f32_entry("[1,1,1,1,1,1,1,1,1]", "[0,4]"),
              4,
              {"more than 8 dimensions"},
              ErrorCode::kUnsupported},
        Fault{"TooSmall", f32_entry("[1]", "[0,8]"), 8, {"[0, 8] hold 8 bytes, but F32 [1] is 4 bytes"}},
        Fault{"TooLarge", f32_entry("[3]", "[0,8]"), 8, {"[0, 8] hold 8 bytes, but F32 [3] is 12 bytes"}},
        Fault{"EmptyWithBytes", f32_entry("[0]", "[0,4]"), 4, {"hold 4 bytes, but F32 [0] is 0 bytes"}}),
    [](const auto& test) { return test.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Offsets, SafetensorsFault,
    ::testing::Values(
        Fault{"IsNumber", f32_entry("[1]", "0"), 4, {"data_offsets: expected [begin, end], found 0"}},
        Fault{"One", f32_entry("[1]", "[0]"), 4, {"expected [begin, end], found [0]"}},
        Fault{"None", f32_entry("[1]", "[]"), 4, {"expected [begin, end], found []"}},
        Fault{"Three", f32_entry("[1]", "[0,4,8]"), 8, {"expected [begin, end], found [0,4,8]"}},
        Fault{"Float", f32_entry("[1]", "[0,4.0]"), 4, {"expected two non-negative integers"}},
        Fault{"Negative", f32_entry("[1]", "[-4,0]"), 4, {"expected two non-negative integers, found [-4,0]"}},
        Fault{"NaN", f32_entry("[1]", "[0,NaN]"), 4, {"not valid JSON"}},
        Fault{"Strings", f32_entry("[1]", R"(["0","4"])"), 4, {"expected two non-negative integers"}},
        Fault{"Backwards", f32_entry("[1]", "[4,0]"), 4, {"begin 4 is after end 0"}},
        Fault{"BeyondTheEnd", f32_entry("[2]", "[0,8]"), 7, {"end 8 lies beyond the 7 bytes of data"}},
        Fault{"FarBeyondTheEnd",
              f32_entry("[1]", "[18446744073709551611,18446744073709551615]"),
              4,
              {"end 18446744073709551615 lies beyond the 4 bytes"}},
        Fault{"Overlap",
              two_entries("[0,8]", "[4,12]"),
              12,
              {"tensor \"second\": data_offsets: begin 4 overlaps tensor \"first\", which ends at 8"}},
        Fault{"SameBytes", two_entries("[0,8]", "[0,8]"), 8, {"begin 0 overlaps"}},
        Fault{"Hole",
              two_entries("[0,8]", "[12,20]"),
              20,
              {"tensor \"second\": data_offsets: begins at 12, expected 8", "the 4 bytes between"}},
        Fault{"HoleInFront", f32_entry("[1]", "[4,8]"), 8, {"begins at 4, expected 0"}},
        Fault{"TrailingBytes", f32_entry("[1]", "[0,4]"), 9, {"9 bytes of data, but the tensors end at 4"}},
        Fault{"OnlyTrailingBytes", "{}", 1, {"1 bytes of data, but the tensors end at 0"}},
        Fault{"EmptyTensorInside",
              R"({"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},)"
              R"("e":{"dtype":"U8","shape":[0],"data_offsets":[4,4]}})",
              8,
              {"tensor \"e\"", "overlaps tensor \"a\""}}),
    [](const auto& test) { return test.param.name; });

TEST(SafetensorsLength, MustBePossible) {
  for (const uint64_t length : {uint64_t{0}, uint64_t{1}, uint64_t{100'000'001}, uint64_t{1} << 32, uint64_t{1} << 63,
                                ~uint64_t{0}, ~uint64_t{0} - 7}) {
    const Error error = caught([&] { parse(little_endian(length) + "{}"); });
    EXPECT_EQ(error.code(), ErrorCode::kInvalid);
    EXPECT_THAT(error.what(), AllOf(HasSubstr(fmt::format("header length {},", length)), HasSubstr("2 to 100000000")));
  }
  const Error error = caught([&] { parse(little_endian(3) + "{}"); });
  EXPECT_THAT(error.what(), HasSubstr("header length 3, but only 2 bytes follow it; the file is truncated"));
}

TEST(SafetensorsTruncated, AtEveryByte) {
  const std::string whole = raw_safetensors(R"({"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},)"
                                            R"("b":{"dtype":"U8","shape":[4],"data_offsets":[16,20]}})",
                                            20);
  parse(whole);
  for (size_t size = 0; size < whole.size(); ++size) {
    // Its own allocation, so that the address sanitizer sees a read behind the end.
    const std::vector<char> part(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size));
    const Error error = caught([&] { parse(std::string_view(part.data(), part.size())); });
    EXPECT_EQ(error.code(), ErrorCode::kInvalid) << size;
  }
  const Error error = caught([&] { parse(std::string_view(whole).substr(0, whole.size() - 1)); });
  EXPECT_THAT(error.what(), HasSubstr("tensor \"b\": data_offsets: end 20 lies beyond the 19 bytes of data"));
}

TEST(SafetensorsFile, MapsAndFinds) {
  const TempFolder folder;
  const std::string bytes = raw_safetensors(
      R"({"t":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"s":{"dtype":"I8","shape":[],"data_offsets":[2,3]}})", 3);
  write_text(folder / "t.safetensors", bytes);
  const SafetensorsFile file(folder / "t.safetensors");
  EXPECT_EQ(file.size_bytes(), bytes.size());
  ASSERT_NE(file.find("t"), nullptr);
  EXPECT_EQ(file.find("t")->data[1], std::byte{1});
  EXPECT_EQ(file.find("t")->file, (folder / "t.safetensors").string());
  EXPECT_EQ(file.find("tt"), nullptr);
  EXPECT_EQ(file.find(""), nullptr);
  for (const Access access : {Access::kSequential, Access::kWillNeed, Access::kDontNeed, Access::kNormal}) {
    advise(file.mapped_bytes(), access);
    advise(file.find("t")->data, access);
    EXPECT_EQ(file.find("t")->data[1], std::byte{1});
  }
}

TEST(SafetensorsFile, RefusesWhatIsNoFile) {
  const TempFolder folder;
  std::filesystem::create_directory(folder / "folder.safetensors");
  std::filesystem::create_directory_symlink(folder / "folder.safetensors", folder / "to_folder.safetensors");
  std::filesystem::create_symlink("gone", folder / "dangling.safetensors");
  std::filesystem::create_symlink("loop.safetensors", folder / "loop.safetensors");
  write_text(folder / "empty.safetensors", "");
  const auto code_of = [&](const char* name) {
    const Error error = caught([&] { SafetensorsFile file(folder / name); });
    EXPECT_THAT(error.what(), HasSubstr(name));
    return error.code();
  };
  EXPECT_EQ(code_of("folder.safetensors"), ErrorCode::kIo);
  EXPECT_EQ(code_of("to_folder.safetensors"), ErrorCode::kIo);
  EXPECT_EQ(code_of("dangling.safetensors"), ErrorCode::kNotFound);
  EXPECT_EQ(code_of("loop.safetensors"), ErrorCode::kIo);
  EXPECT_EQ(code_of("nothing.safetensors"), ErrorCode::kNotFound);
  EXPECT_EQ(code_of("empty.safetensors"), ErrorCode::kInvalid);
}

TEST(SafetensorsFile, FollowsSymlinks) {  // as a Hugging Face cache has them
  const TempFolder folder;
  write_text(folder / "blob", raw_safetensors(f32_entry("[1]", "[0,4]"), 4));
  std::filesystem::create_symlink("blob", folder / "t.safetensors");
  EXPECT_EQ(SafetensorsFile(folder / "t.safetensors").tensors().size(), 1u);
}

// Sparse: 64 GB by its size, a few KB on the disk.
TEST(SafetensorsFile, OpensHugeFilesWithoutReadingThem) {
  constexpr uint64_t kBytes = uint64_t{64} << 30;
  const TempFolder folder;
  const auto path = folder / "huge.safetensors";
  const std::string header = fmt::format(R"({{"t":{{"dtype":"U8","shape":[{0}],"data_offsets":[0,{0}]}}}})", kBytes);
  write_text(path, raw_safetensors(header, 0));
  std::error_code error;
  std::filesystem::resize_file(path, 8 + header.size() + kBytes, error);
  if (error) GTEST_SKIP() << "no sparse files here: " << error.message();
  const SafetensorsFile file(path);
  EXPECT_EQ(file.tensors()[0].data.size(), kBytes);
  EXPECT_EQ(file.tensors()[0].data.back(), std::byte{0});
  write_text(path, little_endian(kBytes));
  std::filesystem::resize_file(path, 2 * kBytes);
  EXPECT_THAT(caught([&] { SafetensorsFile absurd(path); }).what(), HasSubstr("header length 68719476736"));
}

TEST(QuotedName, StaysOnOneShortLine) {
  EXPECT_EQ(quoted_name("model.norm.weight"), "\"model.norm.weight\"");
  EXPECT_EQ(quoted_name("a\nb\"c\\\x7f\u009b\u202e"), R"("a\u000ab\"c\\\u007f\u009b\u202e")");
  EXPECT_EQ(quoted_name("\xFFx中"), "\"\uFFFDx中\"");
  std::string long_name;
  for (int i = 0; i < 1000; ++i) long_name += "中";
  const std::string quoted = quoted_name(long_name);
  EXPECT_LT(quoted.size(), 200u);
  EXPECT_THAT(quoted, HasSubstr("bytes ...]"));
  EXPECT_EQ(quoted.find("\uFFFD"), std::string::npos);
  EXPECT_LT(quoted_name(std::string(1000, '\x80')).size(), 700u);
}

}  // namespace
}  // namespace glimmer

// The GGUF format: a header, typed metadata, a table of tensors, then the tensors' bytes, all little-endian.
//   "GGUF", version u32, tensor count u64, metadata count u64
//   metadata: key (string), type u32, value; a string is a u64 length and bytes; an array a type, a u64 count, values
//   tensors: name (string), rank u32, extents u64 (innermost first), type u32, offset u64 into the data section
//   zeros up to a multiple of general.alignment (32 if absent), where the data section begins
// Tensors follow each other in the order of the table, each padded to the alignment. A model may be split over several
// files, name-00001-of-00003.gguf: each has its own tensors, the first one has the metadata.
// Source: ggml, docs/gguf.md and src/gguf.cpp.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/mapped_file.h"
#include "format/tensor_info.h"

namespace glimmer {

enum class GgufType : uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};

inline constexpr uint32_t kGgufVersion = 3;
inline constexpr uint32_t kGgufDefaultAlignment = 32;
inline constexpr int kGgufMaxRank = 4;
inline constexpr size_t kGgufMaxNameBytes = 64;  // of a tensor; llama.cpp's limit, its closing zero byte included
inline constexpr size_t kGgufMaxKeyBytes = 65535;
inline constexpr uint64_t kGgufMaxKeys = 1 << 16;
inline constexpr uint64_t kGgufMaxTensors = 1 << 20;
inline constexpr uint64_t kGgufMaxStrings = 1 << 24;  // of an array: the vocabularies and merges known are below 2^20

std::string_view gguf_type_name(GgufType type);  // "u8", ..., "string", "array"

// The number of an element type in the tensor table, and back. Null: not a type of GGUF, or one that is not read.
std::optional<uint32_t> ggml_type_id(DType dtype);
std::optional<DType> dtype_of_ggml(uint32_t id);
std::string_view ggml_type_name(uint32_t id);  // "IQ2_XXS"; "" if ggml has no type of that number

// A value of the metadata: borrowed bytes of the file.
struct GgufValue {
  GgufType type = GgufType::kU8;
  GgufType element = GgufType::kU8;       // kArray: the type of its elements, never an array; else the same as `type`
  std::span<const std::byte> bytes;       // numbers and bools: the elements, unaligned; a string: its bytes
  std::vector<std::string_view> strings;  // an array of strings: one each
  size_t count() const;                   // of elements; 1 if it is no array
  std::string describe() const;           // "u32 7", "array of 151552 strings": for messages
};

// The metadata of a file. Lookups are by whole key: "glm4moe.block_count".
class GgufMetadata {
 public:
  struct Entry {
    std::string_view key;
    GgufValue value;
  };

  GgufMetadata() = default;
  // Throws kInvalid if a key is there twice. `source` begins every message.
  GgufMetadata(std::vector<Entry> entries, std::string source);

  const std::string& source() const { return source_; }
  const std::vector<Entry>& entries() const { return entries_; }  // in the order of the file
  const GgufValue* find(std::string_view key) const;              // nullptr if there is none
  bool has(std::string_view key) const { return find(key) != nullptr; }

  // The value in that form; nothing if the key is absent. Throw kInvalid (file, key, expected, found) if it is of
  // another kind. Every integer type counts as an integer. A number is a float or an integer; an f32 is read as the
  // shortest decimal that rounds to it, since files are made from decimal fractions: 1e-05, not 9.99999975e-06.
  std::optional<int64_t> integer(std::string_view key) const;
  std::optional<double> number(std::string_view key) const;
  std::optional<bool> boolean(std::string_view key) const;
  std::optional<std::string_view> text(std::string_view key) const;  // any bytes: no check for UTF-8
  std::optional<std::vector<int64_t>> integers(std::string_view key) const;
  std::optional<std::vector<double>> numbers(std::string_view key) const;
  std::optional<std::vector<bool>> booleans(std::string_view key) const;
  const std::vector<std::string_view>* texts(std::string_view key) const;  // nullptr if absent

  // The same, but an absent key throws kInvalid as well.
  int64_t require_integer(std::string_view key) const;
  double require_number(std::string_view key) const;
  std::string_view require_text(std::string_view key) const;

  [[noreturn]] void fail_key(std::string_view key, std::string_view expected) const;  // kInvalid, with what was found

 private:
  std::vector<Entry> entries_;
  std::vector<uint32_t> by_key_;  // indices of entries_, ascending keys
  std::string source_;
};

struct GgufContent {
  uint32_t version = 0;
  uint32_t alignment = 0;
  GgufMetadata metadata;
  std::vector<TensorInfo> tensors;  // ascending names; extents outermost first: a matrix is [out, in]
};

// Reads a whole file that lies in memory; everything views `bytes` and `file_name`, which begins every message.
// Versions 2 and 3. Strict: throws kInvalid on anything that the format or llama.cpp does not allow (bad magic, sizes
// beyond the file, overflows, bad or repeated keys and names, extents of 0, rows that are not whole blocks, offsets
// that are not where the table's order puts them, truncation, bytes behind the last tensor), kUnsupported on another
// version, a big-endian file, nested arrays and element types that are not read (naming tensor and type), kLimit on
// more keys, tensors or strings than the limits above. Allocates a few times the size of the header at most.
GgufContent parse_gguf(std::span<const std::byte> bytes, std::string_view file_name);

// A file, memory-mapped for the object's lifetime.
class GgufFile : public TensorFile {
 public:
  // Throws kNotFound, kIo, or as parse_gguf.
  explicit GgufFile(const std::filesystem::path& path);

  const std::filesystem::path& path() const override { return file_.path(); }
  size_t size_bytes() const override { return file_.bytes().size(); }
  std::span<const TensorInfo> tensors() const override { return content_.tensors; }
  std::span<const std::byte> mapped_bytes() const override { return file_.bytes(); }
  void check_unchanged() const override { file_.check_unchanged(); }

  const GgufMetadata& metadata() const { return content_.metadata; }
  uint32_t version() const { return content_.version; }
  uint32_t alignment() const { return content_.alignment; }
  const TensorInfo* find(std::string_view name) const;  // nullptr if there is none

 private:
  MappedFile file_;
  std::string file_name_;  // what TensorInfo::file views
  GgufContent content_;
};

// Opens a model: one file, or all files of a split model if `path` is any one of them, in their order; the metadata of
// the model is the first one's. Throws as GgufFile, and kInvalid or kNotFound if the files do not belong together:
// split.no, split.count, split.tensors.count, file names, a tensor in two files.
std::vector<std::unique_ptr<GgufFile>> open_gguf(const std::filesystem::path& path);

}  // namespace glimmer

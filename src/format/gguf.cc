#include "format/gguf.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <limits>
#include <numeric>
#include <type_traits>
#include <utility>

#include "base/error.h"
#include "base/name_table.h"
#include "base/utf8.h"

namespace glimmer {
namespace {

struct TypeRow {
  GgufType type;
  std::string_view name;
  size_t size_bytes;  // 0: strings and arrays, whose size is in the file
};

constexpr std::array<TypeRow, 13> kTypes = {{
    {GgufType::kU8, "u8", 1},
    {GgufType::kI8, "i8", 1},
    {GgufType::kU16, "u16", 2},
    {GgufType::kI16, "i16", 2},
    {GgufType::kU32, "u32", 4},
    {GgufType::kI32, "i32", 4},
    {GgufType::kF32, "f32", 4},
    {GgufType::kBool, "bool", 1},
    {GgufType::kString, "string", 0},
    {GgufType::kArray, "array", 0},
    {GgufType::kU64, "u64", 8},
    {GgufType::kI64, "i64", 8},
    {GgufType::kF64, "f64", 8},
}};

struct GgmlType {
  uint32_t id;
  std::string_view name;
  std::optional<DType> dtype;  // nothing: known by name only
};

// Every number that ggml has given to a type of tensors, those it has withdrawn among them.
constexpr std::array<GgmlType, 42> kGgmlTypes = {{
    {0, "F32", DType::kF32},
    {1, "F16", DType::kF16},
    {2, "Q4_0", DType::kQ4_0},
    {3, "Q4_1", DType::kQ4_1},
    {4, "Q4_2", {}},
    {5, "Q4_3", {}},
    {6, "Q5_0", DType::kQ5_0},
    {7, "Q5_1", DType::kQ5_1},
    {8, "Q8_0", DType::kQ8_0},
    {9, "Q8_1", {}},
    {10, "Q2_K", DType::kQ2_K},
    {11, "Q3_K", DType::kQ3_K},
    {12, "Q4_K", DType::kQ4_K},
    {13, "Q5_K", DType::kQ5_K},
    {14, "Q6_K", DType::kQ6_K},
    {15, "Q8_K", {}},
    {16, "IQ2_XXS", {}},
    {17, "IQ2_XS", {}},
    {18, "IQ3_XXS", {}},
    {19, "IQ1_S", {}},
    {20, "IQ4_NL", DType::kIQ4_NL},
    {21, "IQ3_S", {}},
    {22, "IQ2_S", {}},
    {23, "IQ4_XS", DType::kIQ4_XS},
    {24, "I8", DType::kI8},
    {25, "I16", DType::kI16},
    {26, "I32", DType::kI32},
    {27, "I64", DType::kI64},
    {28, "F64", DType::kF64},
    {29, "IQ1_M", {}},
    {30, "BF16", DType::kBF16},
    {31, "Q4_0_4_4", {}},
    {32, "Q4_0_4_8", {}},
    {33, "Q4_0_8_8", {}},
    {34, "TQ1_0", {}},
    {35, "TQ2_0", {}},
    {36, "IQ4_NL_4_4", {}},
    {37, "IQ4_NL_4_8", {}},
    {38, "IQ4_NL_8_8", {}},
    {39, "MXFP4", DType::kMXFP4},
    {40, "NVFP4", {}},
    {41, "Q1_0", {}},
}};

std::string known_ggml_types() {
  return list_names(kGgmlTypes, [](const GgmlType& row) { return row.dtype ? row.name : ""; });
}

size_t element_bytes(GgufType type) { return kTypes[static_cast<size_t>(type)].size_bytes; }

template <typename T>
T load(const std::byte* at) {
  static_assert(std::endian::native == std::endian::little);
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

bool is_integer_type(GgufType type) {
  return element_bytes(type) != 0 && type != GgufType::kF32 && type != GgufType::kF64 && type != GgufType::kBool;
}

// An element of an array of integers, or the integer itself. Nothing: a u64 beyond i64.
std::optional<int64_t> integer_at(const GgufValue& value, size_t index) {
  const std::byte* at = value.bytes.data() + index * element_bytes(value.element);
  switch (value.element) {
    case GgufType::kU8:
      return load<uint8_t>(at);
    case GgufType::kI8:
      return load<int8_t>(at);
    case GgufType::kU16:
      return load<uint16_t>(at);
    case GgufType::kI16:
      return load<int16_t>(at);
    case GgufType::kU32:
      return load<uint32_t>(at);
    case GgufType::kI32:
      return load<int32_t>(at);
    case GgufType::kI64:
      return load<int64_t>(at);
    case GgufType::kU64: {
      const auto wide = load<uint64_t>(at);
      if (wide > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return std::nullopt;
      return static_cast<int64_t>(wide);
    }
    default:
      return std::nullopt;
  }
}

double shortest_decimal(float value) {
  if (!(std::abs(value) <= std::numeric_limits<float>::max())) return value;
  std::array<char, 48> text{};
  const auto written = std::to_chars(text.data(), text.data() + text.size(), value);
  double decimal = 0;
  std::from_chars(text.data(), written.ptr, decimal);
  return decimal;
}

std::optional<double> number_at(const GgufValue& value, size_t index) {
  if (value.element == GgufType::kF32) return shortest_decimal(load<float>(value.bytes.data() + index * 4));
  if (value.element == GgufType::kF64) return load<double>(value.bytes.data() + index * 8);
  if (const auto integer = integer_at(value, index)) return static_cast<double>(*integer);
  return std::nullopt;
}

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Takes the file apart from front to back. `context` of a message: what is being read.
class Cursor {
 public:
  Cursor(std::span<const std::byte> bytes, std::string_view file) : bytes_(bytes), file_(file) {}

  size_t at() const { return at_; }
  size_t left() const { return bytes_.size() - at_; }

  template <typename... Args>
  [[noreturn]] void refuse(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) const {
    fail(code, "{}: {}", file_, fmt::format(format, std::forward<Args>(args)...));
  }

  std::span<const std::byte> take(uint64_t count, std::string_view context, std::string_view what) {
    if (count > left()) {
      refuse(ErrorCode::kInvalid, "{}{}: {} bytes at byte {}, but only {} are left; the file is truncated or damaged",
             context, what, count, at_, left());
    }
    const auto taken = bytes_.subspan(at_, count);
    at_ += count;
    return taken;
  }

  template <typename T>
  T number(std::string_view context, std::string_view what) {
    return load<T>(take(sizeof(T), context, what).data());
  }

  // A string, of at most `max_bytes`.
  std::string_view text(std::string_view context, std::string_view what,
                        uint64_t max_bytes = std::numeric_limits<uint64_t>::max()) {
    const auto length = number<uint64_t>(context, what);
    if (length > max_bytes) {
      refuse(ErrorCode::kInvalid, "{}{}: {} bytes long, at most {} are allowed", context, what, length, max_bytes);
    }
    return as_text(take(length, context, what));
  }

 private:
  std::span<const std::byte> bytes_;
  std::string_view file_;
  size_t at_ = 0;
};

GgufType read_type(Cursor& cursor, std::string_view context, std::string_view what) {
  const auto id = cursor.number<uint32_t>(context, what);
  if (id >= kTypes.size()) {
    cursor.refuse(ErrorCode::kInvalid, "{}{}: {} is no type of GGUF; they are 0 to {}", context, what, id,
                  kTypes.size() - 1);
  }
  return static_cast<GgufType>(id);
}

void check_bools(const Cursor& cursor, std::string_view context, const GgufValue& value) {
  if (value.element != GgufType::kBool) return;
  for (const std::byte byte : value.bytes) {
    if (byte > std::byte{1}) {
      cursor.refuse(ErrorCode::kInvalid, "{}a bool is {}, expected 0 or 1", context, std::to_integer<int>(byte));
    }
  }
}

GgufValue read_array(Cursor& cursor, std::string_view context) {
  GgufValue value{.type = GgufType::kArray, .element = read_type(cursor, context, "type of the elements")};
  const auto count = cursor.number<uint64_t>(context, "number of elements");
  if (value.element == GgufType::kArray) {
    cursor.refuse(ErrorCode::kUnsupported, "{}arrays of arrays are not supported", context);
  }
  if (value.element == GgufType::kString) {
    if (count > cursor.left() / sizeof(uint64_t)) {  // each has its length at least
      cursor.refuse(ErrorCode::kInvalid, "{}{} strings cannot be in the {} bytes that are left", context, count,
                    cursor.left());
    }
    if (count > kGgufMaxStrings) {
      cursor.refuse(ErrorCode::kLimit, "{}{} strings, at most {} are read", context, count, kGgufMaxStrings);
    }
    value.strings.reserve(count);
    for (uint64_t i = 0; i < count; ++i) value.strings.push_back(cursor.text(context, "string"));
    return value;
  }
  uint64_t size_bytes = 0;
  if (__builtin_mul_overflow(count, element_bytes(value.element), &size_bytes)) {
    cursor.refuse(ErrorCode::kInvalid, "{}{} elements of {} overflow 64 bits", context, count,
                  gguf_type_name(value.element));
  }
  value.bytes = cursor.take(size_bytes, context, "elements");
  return value;
}

GgufMetadata::Entry read_entry(Cursor& cursor, uint64_t index) {
  const std::string place = fmt::format("metadata entry {}: ", index);
  GgufMetadata::Entry entry;
  entry.key = cursor.text(place, "key", kGgufMaxKeyBytes);
  if (entry.key.empty()) cursor.refuse(ErrorCode::kInvalid, "{}key: empty", place);
  const std::string context = fmt::format("metadata {}: ", quoted_name(entry.key));
  const GgufType type = read_type(cursor, context, "type");
  if (type == GgufType::kArray) {
    entry.value = read_array(cursor, context);
  } else {
    entry.value.type = entry.value.element = type;
    entry.value.bytes = type == GgufType::kString ? std::as_bytes(std::span(cursor.text(context, "string")))
                                                  : cursor.take(element_bytes(type), context, gguf_type_name(type));
  }
  check_bools(cursor, context, entry.value);
  return entry;
}

// A row of the tensor table; `offset` counts from the data section.
struct Row {
  TensorInfo info;
  uint64_t offset = 0;
  uint64_t size_bytes = 0;
};

Shape read_shape(Cursor& cursor, std::string_view context) {
  const auto rank = cursor.number<uint32_t>(context, "number of dimensions");
  if (rank < 1 || rank > kGgufMaxRank) {
    cursor.refuse(ErrorCode::kInvalid, "{}{} dimensions, expected 1 to {}", context, rank, kGgufMaxRank);
  }
  std::array<int64_t, kGgufMaxRank> dims{};
  int64_t count = 1;
  for (uint32_t i = 0; i < rank; ++i) {
    const auto extent = cursor.number<uint64_t>(context, "dimensions");
    if (extent == 0 || extent > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      cursor.refuse(ErrorCode::kInvalid, "{}dimension {} is {}, expected 1 to 2^63 - 1", context, i, extent);
    }
    dims[rank - 1 - i] = static_cast<int64_t>(extent);
    if (__builtin_mul_overflow(count, static_cast<int64_t>(extent), &count)) {
      cursor.refuse(ErrorCode::kInvalid, "{}the product of the dimensions overflows 63 bits", context);
    }
  }
  return Shape(std::span<const int64_t>(dims.data(), rank));
}

DType read_dtype(Cursor& cursor, std::string_view context) {
  const auto id = cursor.number<uint32_t>(context, "type");
  const auto dtype = dtype_of_ggml(id);
  if (dtype) return *dtype;
  const std::string_view name = ggml_type_name(id);
  if (name.empty()) {
    cursor.refuse(ErrorCode::kUnsupported, "{}type {} is not known; read are {}", context, id, known_ggml_types());
  }
  cursor.refuse(ErrorCode::kUnsupported, "{}type {} is not supported; read are {}", context, name, known_ggml_types());
}

// Bytes of a tensor whose rows are whole blocks.
uint64_t tensor_bytes(const Cursor& cursor, std::string_view context, const TensorInfo& info) {
  const DTypeBlock block = dtype_block(info.dtype);
  const int64_t columns = info.shape[info.shape.rank() - 1];
  if (columns % block.values != 0) {
    cursor.refuse(ErrorCode::kInvalid, "{}rows of {} values, but {} comes in blocks of {}", context, columns,
                  dtype_name(info.dtype), block.values);
  }
  int64_t size_bytes = 0;
  if (__builtin_mul_overflow(info.shape.element_count() / block.values, block.bytes, &size_bytes)) {
    cursor.refuse(ErrorCode::kInvalid, "{}{} of {} overflow 63 bits", context, info.shape.to_string(),
                  dtype_name(info.dtype));
  }
  return static_cast<uint64_t>(size_bytes);
}

Row read_row(Cursor& cursor, uint64_t index, std::string_view file) {
  const std::string place = fmt::format("tensor {}: ", index);
  Row row;
  const std::string_view name = cursor.text(place, "name", kGgufMaxNameBytes);
  if (name.empty()) cursor.refuse(ErrorCode::kInvalid, "{}name: empty", place);
  if (!is_valid_utf8(name)) cursor.refuse(ErrorCode::kInvalid, "{}name: {} is not UTF-8", place, quoted_name(name));
  const std::string context = fmt::format("tensor {}: ", quoted_name(name));
  row.info.name = name;
  row.info.file = file;
  row.info.shape = read_shape(cursor, context);
  row.info.dtype = read_dtype(cursor, context);
  row.size_bytes = tensor_bytes(cursor, context, row.info);
  row.offset = cursor.number<uint64_t>(context, "offset");
  return row;
}

uint32_t alignment_of(const GgufMetadata& metadata) {
  constexpr std::string_view kKey = "general.alignment";
  const GgufValue* value = metadata.find(kKey);
  if (value == nullptr) return kGgufDefaultAlignment;
  if (value->type != GgufType::kU32) metadata.fail_key(kKey, "a u32");
  const auto alignment = load<uint32_t>(value->bytes.data());
  if (alignment == 0 || (alignment & (alignment - 1)) != 0) metadata.fail_key(kKey, "a power of two");
  return alignment;
}

void check_offset(const Cursor& cursor, const Row& row, const Row* before, uint64_t expected, uint32_t alignment) {
  if (row.offset == expected) return;
  const std::string name = quoted_name(row.info.name);
  if (row.offset % alignment != 0) {
    cursor.refuse(ErrorCode::kInvalid, "tensor {}: offset {} is not a multiple of the alignment {}", name, row.offset,
                  alignment);
  }
  if (before == nullptr) {
    cursor.refuse(ErrorCode::kInvalid, "tensor {}: offset {}, expected 0 for the first tensor", name, row.offset);
  }
  cursor.refuse(ErrorCode::kInvalid, "tensor {}: offset {}, expected {}: {} tensor {}", name, row.offset, expected,
                row.offset < expected ? "it overlaps or comes before" : "it leaves a gap behind",
                quoted_name(before->info.name));
}

// Lays the rows out in the data section and gives each its bytes.
void place_rows(Cursor& cursor, std::vector<Row>& rows, std::span<const std::byte> bytes, uint32_t alignment) {
  if (rows.empty()) return;
  const uint64_t padding = (alignment - cursor.at() % alignment) % alignment;
  cursor.take(padding, "", "padding before the data section");
  const std::span<const std::byte> data = bytes.subspan(cursor.at());
  uint64_t expected = 0;
  const Row* before = nullptr;
  for (Row& row : rows) {
    check_offset(cursor, row, before, expected, alignment);
    if (row.size_bytes > data.size() || row.offset > data.size() - row.size_bytes) {
      cursor.refuse(ErrorCode::kInvalid,
                    "tensor {}: {} bytes at offset {} end beyond the {} bytes of data; the file is truncated",
                    quoted_name(row.info.name), row.size_bytes, row.offset, data.size());
    }
    row.info.data = data.subspan(row.offset, row.size_bytes);
    expected = row.offset + row.size_bytes;
    expected += (alignment - expected % alignment) % alignment;
    before = &row;
  }
  // Some writers leave out the padding of the last tensor; nothing else may follow it.
  if (data.size() > expected) {
    cursor.refuse(ErrorCode::kInvalid, "{} bytes follow the last tensor, {}; the file is damaged",
                  data.size() - expected, quoted_name(before->info.name));
  }
}

void read_header(Cursor& cursor, GgufContent& content, uint64_t& tensors, uint64_t& keys) {
  const std::string_view magic = as_text(cursor.take(4, "", "magic"));
  if (magic != "GGUF") {
    cursor.refuse(ErrorCode::kInvalid, "begins with {}, expected \"GGUF\"; this is not a GGUF file",
                  quoted_name(magic));
  }
  content.version = cursor.number<uint32_t>("", "version");
  if (content.version != 0 && (content.version & 0xFFFF) == 0) {
    cursor.refuse(ErrorCode::kUnsupported, "a big-endian file (version {}); only little-endian ones are read",
                  __builtin_bswap32(content.version));
  }
  if (content.version != 2 && content.version != kGgufVersion) {
    cursor.refuse(ErrorCode::kUnsupported, "GGUF version {} is not supported; known: 2, 3", content.version);
  }
  tensors = cursor.number<uint64_t>("", "number of tensors");
  keys = cursor.number<uint64_t>("", "number of metadata entries");
  constexpr uint64_t kLeastRow = 8 + 1 + 4 + 8 + 4 + 8;
  constexpr uint64_t kLeastEntry = 8 + 1 + 4 + 1;
  if (tensors > cursor.left() / kLeastRow || keys > cursor.left() / kLeastEntry) {
    cursor.refuse(ErrorCode::kInvalid, "{} tensors and {} metadata entries cannot be in a file of {} bytes", tensors,
                  keys, cursor.at() + cursor.left());
  }
  if (tensors > kGgufMaxTensors || keys > kGgufMaxKeys) {
    cursor.refuse(ErrorCode::kLimit, "{} tensors and {} metadata entries, at most {} and {} are read", tensors, keys,
                  kGgufMaxTensors, kGgufMaxKeys);
  }
}

}  // namespace

std::string_view gguf_type_name(GgufType type) { return kTypes[static_cast<size_t>(type)].name; }

std::optional<uint32_t> ggml_type_id(DType dtype) {
  for (const GgmlType& row : kGgmlTypes) {
    if (row.dtype == dtype) return row.id;
  }
  return std::nullopt;
}

std::optional<DType> dtype_of_ggml(uint32_t id) { return id < kGgmlTypes.size() ? kGgmlTypes[id].dtype : std::nullopt; }

std::string_view ggml_type_name(uint32_t id) { return id < kGgmlTypes.size() ? kGgmlTypes[id].name : ""; }

size_t GgufValue::count() const {
  if (type != GgufType::kArray) return 1;
  return element == GgufType::kString ? strings.size() : bytes.size() / element_bytes(element);
}

std::string GgufValue::describe() const {
  if (type == GgufType::kArray) return fmt::format("an array of {} {}", count(), gguf_type_name(element));
  if (type == GgufType::kString) return quoted_name(as_text(bytes));
  if (type == GgufType::kBool) return bytes[0] == std::byte{0} ? "false" : "true";
  if (type == GgufType::kU64) return fmt::format("u64 {}", load<uint64_t>(bytes.data()));
  if (const auto integer = integer_at(*this, 0)) return fmt::format("{} {}", gguf_type_name(type), *integer);
  return fmt::format("{} {}", gguf_type_name(type), number_at(*this, 0).value_or(0));
}

GgufMetadata::GgufMetadata(std::vector<Entry> entries, std::string source)
    : entries_(std::move(entries)), by_key_(entries_.size()), source_(std::move(source)) {
  std::iota(by_key_.begin(), by_key_.end(), 0);
  std::sort(by_key_.begin(), by_key_.end(), [&](uint32_t a, uint32_t b) { return entries_[a].key < entries_[b].key; });
  for (size_t i = 1; i < by_key_.size(); ++i) {
    const std::string_view key = entries_[by_key_[i]].key;
    if (key == entries_[by_key_[i - 1]].key) {
      fail(ErrorCode::kInvalid, "{}: metadata {}: the key is there twice", source_, quoted_name(key));
    }
  }
}

const GgufValue* GgufMetadata::find(std::string_view key) const {
  const auto at = std::lower_bound(by_key_.begin(), by_key_.end(), key,
                                   [&](uint32_t index, std::string_view k) { return entries_[index].key < k; });
  return at == by_key_.end() || entries_[*at].key != key ? nullptr : &entries_[*at].value;
}

void GgufMetadata::fail_key(std::string_view key, std::string_view expected) const {
  const GgufValue* value = find(key);
  fail(ErrorCode::kInvalid, "{}: metadata {}: expected {}, found {}", source_, quoted_name(key), expected,
       value == nullptr ? "no such key" : value->describe());
}

std::optional<int64_t> GgufMetadata::integer(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  const auto integer = is_integer_type(value->type) ? integer_at(*value, 0) : std::nullopt;
  if (!integer) fail_key(key, "an integer");
  return integer;
}

std::optional<double> GgufMetadata::number(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  const auto number = value->type == GgufType::kArray ? std::nullopt : number_at(*value, 0);
  if (!number) fail_key(key, "a number");
  return number;
}

std::optional<bool> GgufMetadata::boolean(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type != GgufType::kBool) fail_key(key, "a bool");
  return value->bytes[0] != std::byte{0};
}

std::optional<std::string_view> GgufMetadata::text(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type != GgufType::kString) fail_key(key, "a string");
  return as_text(value->bytes);
}

std::optional<std::vector<int64_t>> GgufMetadata::integers(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type != GgufType::kArray || !is_integer_type(value->element)) fail_key(key, "an array of integers");
  std::vector<int64_t> out(value->count());
  for (size_t i = 0; i < out.size(); ++i) {
    const auto integer = integer_at(*value, i);
    if (!integer) fail_key(key, "integers below 2^63");
    out[i] = *integer;
  }
  return out;
}

std::optional<std::vector<double>> GgufMetadata::numbers(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  std::vector<double> out;
  const bool numeric = value->type == GgufType::kArray && element_bytes(value->element) != 0;
  if (!numeric || value->element == GgufType::kBool) fail_key(key, "an array of numbers");
  out.resize(value->count());
  for (size_t i = 0; i < out.size(); ++i) {
    const auto number = number_at(*value, i);
    if (!number) fail_key(key, "numbers below 2^63");
    out[i] = *number;
  }
  return out;
}

std::optional<std::vector<bool>> GgufMetadata::booleans(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type != GgufType::kArray || value->element != GgufType::kBool) fail_key(key, "an array of bools");
  std::vector<bool> out;
  for (const std::byte byte : value->bytes) out.push_back(byte != std::byte{0});
  return out;
}

const std::vector<std::string_view>* GgufMetadata::texts(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return nullptr;
  if (value->type != GgufType::kArray || value->element != GgufType::kString) fail_key(key, "an array of strings");
  return &value->strings;
}

int64_t GgufMetadata::require_integer(std::string_view key) const {
  if (const auto value = integer(key)) return *value;
  fail_key(key, "an integer");
}

double GgufMetadata::require_number(std::string_view key) const {
  if (const auto value = number(key)) return *value;
  fail_key(key, "a number");
}

std::string_view GgufMetadata::require_text(std::string_view key) const {
  if (const auto value = text(key)) return *value;
  fail_key(key, "a string");
}

GgufContent parse_gguf(std::span<const std::byte> bytes, std::string_view file_name) {
  Cursor cursor(bytes, file_name);
  GgufContent content;
  uint64_t tensor_count = 0;
  uint64_t key_count = 0;
  read_header(cursor, content, tensor_count, key_count);

  // Grown as the file shows what it has: a count alone allocates nothing.
  std::vector<GgufMetadata::Entry> entries;
  for (uint64_t i = 0; i < key_count; ++i) entries.push_back(read_entry(cursor, i));
  content.metadata = GgufMetadata(std::move(entries), std::string(file_name));
  content.alignment = alignment_of(content.metadata);

  std::vector<Row> rows;
  for (uint64_t i = 0; i < tensor_count; ++i) rows.push_back(read_row(cursor, i, file_name));
  place_rows(cursor, rows, bytes, content.alignment);

  content.tensors.reserve(rows.size());
  for (Row& row : rows) content.tensors.push_back(std::move(row.info));
  std::sort(content.tensors.begin(), content.tensors.end(),
            [](const TensorInfo& a, const TensorInfo& b) { return a.name < b.name; });
  for (size_t i = 1; i < content.tensors.size(); ++i) {
    if (content.tensors[i].name == content.tensors[i - 1].name) {
      cursor.refuse(ErrorCode::kInvalid, "tensor {}: the name is there twice", quoted_name(content.tensors[i].name));
    }
  }
  return content;
}

GgufFile::GgufFile(const std::filesystem::path& path)
    : file_(path), file_name_(path.string()), content_(parse_gguf(file_.bytes(), file_name_)) {}

const TensorInfo* GgufFile::find(std::string_view name) const {
  const auto at = std::lower_bound(content_.tensors.begin(), content_.tensors.end(), name,
                                   [](const TensorInfo& tensor, std::string_view n) { return tensor.name < n; });
  return at == content_.tensors.end() || at->name != name ? nullptr : &*at;
}

}  // namespace glimmer

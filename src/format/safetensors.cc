#include "format/safetensors.h"

#include <simdjson.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>
#include <string>
#include <tuple>
#include <utility>

#include "base/error.h"
#include "base/utf8.h"

namespace glimmer {
namespace {

namespace dom = simdjson::dom;

constexpr size_t kLengthBytes = 8;
constexpr size_t kMaxHeaderDepth = 8;  // {name: {"shape": [...]}} needs 3; the rest is for a better message

struct ByteRange {
  uint64_t begin = 0;
  uint64_t end = 0;
};

struct Entry {
  TensorInfo info;
  ByteRange range;  // in the data section
};

// What was found, for a message: the JSON text, shortened.
std::string found(dom::element value) {
  std::string text = simdjson::minify(value);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return to_valid_utf8(text);
}

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// The JSON header, as bytes. What follows it is the data section.
std::string_view header_text(std::span<const std::byte> bytes, std::string_view file) {
  if (bytes.size() < kLengthBytes) {
    fail(ErrorCode::kInvalid, "{}: {} bytes; a safetensors file begins with an {}-byte header length", file,
         bytes.size(), kLengthBytes);
  }
  uint64_t length = 0;
  for (size_t i = 0; i < kLengthBytes; ++i) length |= std::to_integer<uint64_t>(bytes[i]) << (8 * i);
  if (length < 2 || length > kMaxSafetensorsHeaderBytes) {
    fail(ErrorCode::kInvalid, "{}: header length {}, expected 2 to {} bytes; this is not a safetensors file", file,
         length, kMaxSafetensorsHeaderBytes);
  }
  if (length > bytes.size() - kLengthBytes) {
    fail(ErrorCode::kInvalid, "{}: header length {}, but only {} bytes follow it; the file is truncated", file, length,
         bytes.size() - kLengthBytes);
  }
  const std::string_view header = as_text(bytes.subspan(kLengthBytes, length));
  if (header.front() != '{') {
    fail(ErrorCode::kInvalid, "{}: the header begins with byte 0x{:02x}, expected '{{'", file,
         static_cast<uint8_t>(header.front()));
  }
  return header;
}

dom::object parse_header(dom::parser& parser, std::string_view header, std::string_view file) {
  auto error = parser.allocate(header.size(), kMaxHeaderDepth);
  dom::object root;
  if (!error) error = parser.parse(header.data(), header.size(), true).get_object().get(root);
  switch (error) {
    case simdjson::SUCCESS:
      return root;
    case simdjson::MEMALLOC:
      fail(ErrorCode::kMemory, "{}: no memory to parse {} bytes of header", file, header.size());
    case simdjson::UTF8_ERROR:
      fail(ErrorCode::kInvalid, "{}: the header is not valid UTF-8", file);
    case simdjson::DEPTH_ERROR:
      fail(ErrorCode::kInvalid, "{}: the header is nested too deep; the format needs 3 levels", file);
    default:
      fail(ErrorCode::kInvalid, "{}: the header is not valid JSON: {}", file, simdjson::error_message(error));
  }
}

// Reads one member of the header, and names file, tensor and field when it is not as it should be.
class EntryReader {
 public:
  EntryReader(std::string_view file, std::string_view name, size_t data_bytes)
      : file_(file), name_(name), data_bytes_(data_bytes) {}

  Entry read(dom::element value) const {
    dom::object fields;
    if (value.get_object().get(fields)) refuse("", "expected an object, found {}", found(value));
    std::optional<DType> dtype;
    std::optional<Shape> shape;
    std::optional<ByteRange> range;
    for (const auto [key, field] : fields) {
      if (key == "dtype") {
        if (dtype) refuse("dtype", "given twice");
        dtype = read_dtype(field);
      } else if (key == "shape") {
        if (shape) refuse("shape", "given twice");
        shape = read_shape(field);
      } else if (key == "data_offsets") {
        if (range) refuse("data_offsets", "given twice");
        range = read_range(field);
      } else {
        refuse("", "unknown field {}; expected dtype, shape and data_offsets", quoted_name(key));
      }
    }
    if (!dtype) refuse("dtype", "missing");
    if (!shape) refuse("shape", "missing");
    if (!range) refuse("data_offsets", "missing");
    check_size(*dtype, *shape, *range);
    return {{std::string(name_), *dtype, *shape, {}, file_}, *range};
  }

 private:
  template <typename... Args>
  [[noreturn]] void refuse(std::string_view field, fmt::format_string<Args...> format, Args&&... args) const {
    refuse_as(ErrorCode::kInvalid, field, fmt::format(format, std::forward<Args>(args)...));
  }
  [[noreturn]] void refuse_as(ErrorCode code, std::string_view field, const std::string& what) const {
    fail(code, "{}: tensor {}: {}{}{}", file_, quoted_name(name_), field, field.empty() ? "" : ": ", what);
  }

  DType read_dtype(dom::element value) const {
    std::string_view text;
    if (value.get_string().get(text)) refuse("dtype", "expected a string, found {}", found(value));
    const std::optional<DType> dtype = parse_dtype(text);
    if (!dtype) {
      refuse_as(ErrorCode::kUnsupported, "dtype",
                fmt::format("{} is not known; known are {}", quoted_name(text), known_dtype_names()));
    }
    return *dtype;
  }

  Shape read_shape(dom::element value) const {
    dom::array array;
    if (value.get_array().get(array)) refuse("shape", "expected an array of integers, found {}", found(value));
    std::array<int64_t, Shape::kMaxRank> dims{};
    int64_t count = 1;
    size_t rank = 0;
    for (const dom::element item : array) {
      if (rank == dims.size()) {
        refuse_as(ErrorCode::kUnsupported, "shape", fmt::format("more than {} dimensions", dims.size()));
      }
      int64_t dim = 0;
      if (item.get_int64().get(dim) || dim < 0) {
        refuse("shape", "expected integers from 0 to 2^63 - 1, found {}", found(item));
      }
      // In this order, as Shape::element_count() multiplies: [2^62, 4, 0] is refused though it holds nothing.
      if (__builtin_mul_overflow(count, dim, &count)) refuse("shape", "{} overflows 64 bits", found(value));
      dims[rank++] = dim;
    }
    return Shape(std::span<const int64_t>(dims.data(), rank));
  }

  ByteRange read_range(dom::element value) const {
    dom::array array;
    if (value.get_array().get(array)) refuse("data_offsets", "expected [begin, end], found {}", found(value));
    std::array<uint64_t, 2> ends{};
    size_t count = 0;
    for (const dom::element item : array) {
      if (count == ends.size()) refuse("data_offsets", "expected [begin, end], found {}", found(value));
      if (item.get_uint64().get(ends[count++])) {
        refuse("data_offsets", "expected two non-negative integers, found {}", found(value));
      }
    }
    if (count < ends.size()) refuse("data_offsets", "expected [begin, end], found {}", found(value));
    if (ends[0] > ends[1]) refuse("data_offsets", "begin {} is after end {}", ends[0], ends[1]);
    if (ends[1] > data_bytes_) {
      refuse("data_offsets", "end {} lies beyond the {} bytes of data in the file; it is truncated or damaged", ends[1],
             data_bytes_);
    }
    return {ends[0], ends[1]};
  }

  void check_size(DType dtype, const Shape& shape, ByteRange range) const {
    uint64_t size_bytes = 0;
    if (__builtin_mul_overflow(static_cast<uint64_t>(shape.element_count()), dtype_size_bytes(dtype), &size_bytes)) {
      refuse("shape", "{} x {} overflows 64 bits", shape.to_string(), dtype_name(dtype));
    }
    if (size_bytes != range.end - range.begin) {
      refuse("data_offsets", "[{}, {}] hold {} bytes, but {} {} is {} bytes", range.begin, range.end,
             range.end - range.begin, dtype_name(dtype), shape.to_string(), size_bytes);
    }
  }

  std::string_view file_;
  std::string_view name_;
  size_t data_bytes_;
};

std::map<std::string, std::string> read_metadata(dom::element value, std::string_view file) {
  dom::object members;
  if (value.get_object().get(members)) {
    fail(ErrorCode::kInvalid, "{}: __metadata__: expected an object of strings, found {}", file, found(value));
  }
  std::map<std::string, std::string> metadata;
  for (const auto [key, member] : members) {
    std::string_view text;
    if (member.get_string().get(text)) {
      fail(ErrorCode::kInvalid, "{}: __metadata__: {}: expected a string, found {}", file, quoted_name(key),
           found(member));
    }
    if (!metadata.emplace(key, text).second) {
      fail(ErrorCode::kInvalid, "{}: __metadata__: {} appears twice", file, quoted_name(key));
    }
  }
  return metadata;
}

// The tensors, laid end to end, are the data section: nothing shared, nothing hidden in between or behind.
void check_layout(std::vector<Entry>& entries, size_t data_bytes, std::string_view file) {
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.range.begin, a.range.end, a.info.name) < std::tie(b.range.begin, b.range.end, b.info.name);
  });
  uint64_t at = 0;
  const Entry* before = nullptr;
  for (const Entry& entry : entries) {
    if (entry.range.begin < at) {
      fail(ErrorCode::kInvalid, "{}: tensor {}: data_offsets: begin {} overlaps tensor {}, which ends at {}", file,
           quoted_name(entry.info.name), entry.range.begin, quoted_name(before->info.name), at);
    }
    if (entry.range.begin > at) {
      fail(ErrorCode::kInvalid,
           "{}: tensor {}: data_offsets: begins at {}, expected {}; no tensor covers the {} bytes between", file,
           quoted_name(entry.info.name), entry.range.begin, at, entry.range.begin - at);
    }
    at = entry.range.end;
    before = &entry;
  }
  if (at != data_bytes) {
    fail(ErrorCode::kInvalid, "{}: {} bytes of data, but the tensors end at {}; no tensor covers the rest", file,
         data_bytes, at);
  }
}

std::vector<TensorInfo> sorted_by_name(std::vector<Entry> entries, std::string_view file) {
  std::vector<TensorInfo> tensors;
  tensors.reserve(entries.size());
  for (Entry& entry : entries) tensors.push_back(std::move(entry.info));
  const auto by_name = [](const TensorInfo& a, const TensorInfo& b) { return a.name < b.name; };
  std::sort(tensors.begin(), tensors.end(), by_name);
  const auto twice = std::adjacent_find(tensors.begin(), tensors.end(),
                                        [](const TensorInfo& a, const TensorInfo& b) { return a.name == b.name; });
  if (twice != tensors.end()) {
    fail(ErrorCode::kInvalid, "{}: tensor {} appears twice in the header", file, quoted_name(twice->name));
  }
  return tensors;
}

}  // namespace

SafetensorsContent parse_safetensors(std::span<const std::byte> bytes, std::string_view file_name) {
  const std::string_view header = header_text(bytes, file_name);
  const std::span<const std::byte> data = bytes.subspan(kLengthBytes + header.size());
  dom::parser parser;
  SafetensorsContent content;
  std::vector<Entry> entries;
  bool seen_metadata = false;
  for (const auto [key, value] : parse_header(parser, header, file_name)) {
    if (key == "__metadata__") {
      if (seen_metadata) fail(ErrorCode::kInvalid, "{}: __metadata__ appears twice in the header", file_name);
      content.metadata = read_metadata(value, file_name);
      seen_metadata = true;
      continue;
    }
    entries.push_back(EntryReader(file_name, key, data.size()).read(value));
    Entry& entry = entries.back();
    entry.info.data = data.subspan(entry.range.begin, entry.range.end - entry.range.begin);
  }
  check_layout(entries, data.size(), file_name);
  content.tensors = sorted_by_name(std::move(entries), file_name);
  return content;
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path)
    : file_(path), file_name_(path.string()), content_(parse_safetensors(file_.bytes(), file_name_)) {}

const TensorInfo* SafetensorsFile::find(std::string_view name) const {
  const auto at =
      std::lower_bound(content_.tensors.begin(), content_.tensors.end(), name,
                       [](const TensorInfo& tensor, std::string_view wanted) { return tensor.name < wanted; });
  return at != content_.tensors.end() && at->name == name ? &*at : nullptr;
}

}  // namespace glimmer

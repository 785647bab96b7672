#include "format/gguf_writer.h"

#include <algorithm>
#include <limits>
#include <type_traits>

#include "base/error.h"
#include "base/utf8.h"

namespace glimmer {
namespace {

constexpr uint64_t kMaxFileBytes = std::numeric_limits<int64_t>::max();

template <typename T>
constexpr GgufType type_of() {
  if constexpr (std::is_same_v<T, uint8_t>) return GgufType::kU8;
  if constexpr (std::is_same_v<T, int8_t>) return GgufType::kI8;
  if constexpr (std::is_same_v<T, uint16_t>) return GgufType::kU16;
  if constexpr (std::is_same_v<T, int16_t>) return GgufType::kI16;
  if constexpr (std::is_same_v<T, uint32_t>) return GgufType::kU32;
  if constexpr (std::is_same_v<T, int32_t>) return GgufType::kI32;
  if constexpr (std::is_same_v<T, uint64_t>) return GgufType::kU64;
  if constexpr (std::is_same_v<T, int64_t>) return GgufType::kI64;
  if constexpr (std::is_same_v<T, float>) return GgufType::kF32;
  if constexpr (std::is_same_v<T, double>) return GgufType::kF64;
  if constexpr (std::is_same_v<T, bool>) return GgufType::kBool;
  if constexpr (std::is_same_v<T, std::string>) return GgufType::kString;
}

template <typename T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}
void put_type(std::string& out, GgufType type) { put(out, static_cast<uint32_t>(type)); }
void put_text(std::string& out, std::string_view text) {
  put(out, static_cast<uint64_t>(text.size()));
  out += text;
}

template <typename T>
void put_scalar(std::string& out, const T& value) {
  if constexpr (std::is_same_v<T, std::string>) {
    put_text(out, value);
  } else if constexpr (std::is_same_v<T, bool>) {
    put(out, static_cast<uint8_t>(value));
  } else {
    put(out, value);
  }
}

struct ValueWriter {
  std::string& out;

  template <typename T>
  void operator()(const T& value) const {
    put_type(out, type_of<T>());
    put_scalar(out, value);
  }
  template <typename T>
  void operator()(const std::vector<T>& values) const {
    put_type(out, GgufType::kArray);
    put_type(out, type_of<T>());
    put(out, static_cast<uint64_t>(values.size()));
    for (const T& value : values) put_scalar<T>(out, value);
  }
};

uint64_t padded(uint64_t size, uint32_t alignment) { return size + (alignment - size % alignment) % alignment; }

uint32_t alignment_of(std::span<const GgufKeyValue> metadata) {
  for (const GgufKeyValue& entry : metadata) {
    if (entry.key != "general.alignment") continue;
    const auto* alignment = std::get_if<uint32_t>(&entry.value);
    if (alignment == nullptr || *alignment == 0 || (*alignment & (*alignment - 1)) != 0) {
      fail(ErrorCode::kInvalid, "cannot write general.alignment: expected a u32 that is a power of two");
    }
    return *alignment;
  }
  return kGgufDefaultAlignment;
}

void check_once(std::vector<std::string_view> names, std::string_view what) {
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) fail(ErrorCode::kInvalid, "cannot write {} {} twice", what, quoted_name(*twice));
}

void check_keys(std::span<const GgufKeyValue> metadata) {
  std::vector<std::string_view> keys;
  for (const GgufKeyValue& entry : metadata) {
    if (entry.key.empty() || entry.key.size() > kGgufMaxKeyBytes || !is_valid_utf8(entry.key)) {
      fail(ErrorCode::kInvalid, "cannot write metadata {}: expected a key of 1 to {} bytes of UTF-8",
           quoted_name(entry.key), kGgufMaxKeyBytes);
    }
    keys.push_back(entry.key);
  }
  if (keys.size() > kGgufMaxKeys) {
    fail(ErrorCode::kLimit, "cannot write {} metadata entries, at most {} are read", keys.size(), kGgufMaxKeys);
  }
  check_once(std::move(keys), "metadata");
}

// The bytes of its data. Throws on what cannot be written.
uint64_t checked_bytes(const GgufTensorSpec& tensor) {
  const auto refuse = [&](ErrorCode code, const std::string& why) {
    fail(code, "cannot write tensor {}: {}", quoted_name(tensor.name), why);
  };
  // llama.cpp keeps names with a zero byte behind them.
  if (tensor.name.empty() || tensor.name.size() >= kGgufMaxNameBytes || !is_valid_utf8(tensor.name)) {
    refuse(ErrorCode::kInvalid, fmt::format("expected a name of 1 to {} bytes of UTF-8", kGgufMaxNameBytes - 1));
  }
  const int rank = tensor.shape.rank();
  if (rank < 1 || rank > kGgufMaxRank) {
    refuse(ErrorCode::kInvalid, fmt::format("{} dimensions, expected 1 to {}", rank, kGgufMaxRank));
  }
  if (!ggml_type_id(tensor.dtype)) {
    refuse(ErrorCode::kInvalid, fmt::format("GGUF has no type {}", dtype_name(tensor.dtype)));
  }
  const DTypeBlock block = dtype_block(tensor.dtype);
  int64_t bytes = block.bytes;
  for (int i = 0; i < rank; ++i) {
    int64_t extent = tensor.shape[i];
    if (extent < 1) refuse(ErrorCode::kInvalid, fmt::format("shape {}: expected 1 or more", tensor.shape.to_string()));
    if (i == rank - 1) {
      if (extent % block.values != 0) {
        refuse(ErrorCode::kInvalid, fmt::format("rows of {} values, but {} comes in blocks of {}", extent,
                                                dtype_name(tensor.dtype), block.values));
      }
      extent /= block.values;
    }
    if (__builtin_mul_overflow(bytes, extent, &bytes)) {
      refuse(ErrorCode::kLimit, fmt::format("shape {} overflows 63 bits", tensor.shape.to_string()));
    }
  }
  return static_cast<uint64_t>(bytes);
}

void put_tensor(std::string& out, const GgufTensorSpec& tensor, uint64_t offset) {
  put_text(out, tensor.name);
  put(out, static_cast<uint32_t>(tensor.shape.rank()));
  for (int i = tensor.shape.rank(); i-- > 0;) put(out, static_cast<uint64_t>(tensor.shape[i]));
  put(out, *ggml_type_id(tensor.dtype));
  put(out, offset);
}

}  // namespace

GgufLayout gguf_layout(std::span<const GgufKeyValue> metadata, std::span<const GgufTensorSpec> tensors) {
  GgufLayout layout;
  layout.alignment = alignment_of(metadata);
  check_keys(metadata);
  std::vector<std::string_view> names;
  for (const GgufTensorSpec& tensor : tensors) names.push_back(tensor.name);
  if (names.size() > kGgufMaxTensors) {
    fail(ErrorCode::kLimit, "cannot write {} tensors, at most {} are read", names.size(), kGgufMaxTensors);
  }
  check_once(std::move(names), "tensor");

  std::string& header = layout.header;
  header = "GGUF";
  put(header, kGgufVersion);
  put(header, static_cast<uint64_t>(tensors.size()));
  put(header, static_cast<uint64_t>(metadata.size()));
  for (const GgufKeyValue& entry : metadata) {
    put_text(header, entry.key);
    std::visit(ValueWriter{header}, entry.value);
  }
  uint64_t offset = 0;
  for (const GgufTensorSpec& tensor : tensors) {
    const uint64_t bytes = checked_bytes(tensor);
    put_tensor(header, tensor, offset);
    layout.offsets.push_back(offset);
    layout.size_bytes.push_back(bytes);
    if (bytes > kMaxFileBytes - layout.alignment - offset) {
      fail(ErrorCode::kLimit, "cannot write tensor {}: the file would have 2^63 bytes or more",
           quoted_name(tensor.name));
    }
    offset = padded(offset + bytes, layout.alignment);
  }
  header.resize(padded(header.size(), layout.alignment), '\0');
  if (offset > kMaxFileBytes - header.size()) fail(ErrorCode::kLimit, "cannot write a file of 2^63 bytes or more");
  for (uint64_t& begin : layout.offsets) begin += header.size();
  layout.file_bytes = header.size() + offset;
  return layout;
}

}  // namespace glimmer

// GGUF files put together by hand, so that they can be wrong in any way.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "format/gguf.h"
#include "format/raw_safetensors.h"

namespace glimmer {

// The bytes of numbers and strings in the order they are given.
class RawBytes {
 public:
  RawBytes& u8(uint8_t value) { return raw(value); }
  RawBytes& u16(uint16_t value) { return raw(value); }
  RawBytes& u32(uint32_t value) { return raw(value); }
  RawBytes& u64(uint64_t value) { return raw(value); }
  RawBytes& f32(float value) { return raw(value); }
  RawBytes& f64(double value) { return raw(value); }
  RawBytes& text(std::string_view value) {
    u64(value.size());
    bytes_ += value;
    return *this;
  }
  RawBytes& bytes(std::string_view value) {
    bytes_ += value;
    return *this;
  }
  const std::string& str() const { return bytes_; }

 private:
  template <typename T>
  RawBytes& raw(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  std::string bytes_;
};

inline RawBytes raw_key(std::string_view key, GgufType type) {
  return RawBytes().text(key).u32(static_cast<uint32_t>(type));
}
inline std::string raw_u32(std::string_view key, uint32_t value) {
  return raw_key(key, GgufType::kU32).u32(value).str();
}

inline std::string raw_tensor(std::string_view name, const std::vector<uint64_t>& extents, uint32_t type,
                              uint64_t offset) {
  RawBytes out;
  out.text(name).u32(static_cast<uint32_t>(extents.size()));
  for (const uint64_t extent : extents) out.u64(extent);
  return out.u32(type).u64(offset).str();
}

struct RawGguf {
  std::string magic = "GGUF";
  uint32_t version = 3;
  std::vector<std::string> metadata;  // whole entries
  std::vector<std::string> tensors;   // whole rows
  size_t data_bytes = 0;              // 0, 1, 2, ... after the padding
  size_t alignment = 32;

  std::string str() const { return str(tensors.size(), metadata.size()); }
  std::string str(uint64_t tensor_count, uint64_t key_count) const {
    RawBytes out;
    out.bytes(magic).u32(version).u64(tensor_count).u64(key_count);
    for (const std::string& entry : metadata) out.bytes(entry);
    for (const std::string& row : tensors) out.bytes(row);
    std::string file = out.str();
    if (data_bytes == 0) return file;
    file.resize((file.size() + alignment - 1) / alignment * alignment);
    for (size_t i = 0; i < data_bytes; ++i) file += static_cast<char>(i);
    return file;
  }
};

}  // namespace glimmer

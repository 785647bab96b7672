// Plans a GGUF file before any tensor is written: the bytes of its header, and the offset of each tensor's data, which
// can then be written in any order and from any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "format/gguf.h"

namespace glimmer {

// An owned value of the metadata. The alternatives are in no order that means anything; a std::vector is an array.
using GgufOwnedValue =
    std::variant<uint8_t, int8_t, uint16_t, int16_t, uint32_t, int32_t, uint64_t, int64_t, float, double, bool,
                 std::string, std::vector<uint32_t>, std::vector<int32_t>, std::vector<uint64_t>, std::vector<int64_t>,
                 std::vector<float>, std::vector<bool>, std::vector<std::string>>;

struct GgufKeyValue {
  std::string key;
  GgufOwnedValue value;
};

struct GgufTensorSpec {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;  // outermost first, as everywhere here; the file has the extents innermost first
};

struct GgufLayout {
  std::string header;                // from byte 0 of the file to the data section, padding included
  std::vector<uint64_t> offsets;     // of each tensor's data, from the beginning of the file
  std::vector<uint64_t> size_bytes;  // of each tensor's data, without the padding behind it
  uint64_t file_bytes = 0;           // of the whole file: what no tensor covers is zeros
  uint32_t alignment = 0;
};

// The layout of a version 3 file with this metadata and these tensors, both in the order given. The alignment is that
// of the key general.alignment (u32), or 32 if there is none. Throws kInvalid on what a reader would refuse: an empty,
// too long or repeated key or name, a bad alignment, a rank of 0 or above 4, an extent of 0, rows that are not whole
// blocks, an element type that GGUF does not have; kLimit on sizes beyond 2^63.
GgufLayout gguf_layout(std::span<const GgufKeyValue> metadata, std::span<const GgufTensorSpec> tensors);

}  // namespace glimmer

// Plans a safetensors file before any tensor is written, as format/gguf_writer.h does for GGUF.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace glimmer {

struct SafetensorsSpec {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;

  uint64_t size_bytes() const { return dtype_bytes(dtype, shape.element_count()); }
};

struct SafetensorsLayout {
  std::string header;             // the length and the JSON: from byte 0 of the file to the data section
  std::vector<uint64_t> offsets;  // of each tensor's data, from the beginning of the file
  uint64_t file_bytes = 0;
};

// Tensors are laid out wide types first, then by name, so that each is aligned. Throws kInvalid on a name that is
// twice,
// "__metadata__" or not UTF-8, kLimit on a header that no reader would take.
SafetensorsLayout safetensors_layout(std::span<const SafetensorsSpec> tensors,
                                     const std::map<std::string, std::string>& metadata);

// Groups of consecutive tensors for files of at most `max_bytes` (a larger tensor has one of its own): the number of
// the group of each. `units` are what must stay together, in bytes.
std::vector<size_t> split_into_shards(std::span<const uint64_t> units, uint64_t max_bytes);
// "model.safetensors", or "model-00002-of-00005.safetensors".
std::string shard_name(size_t shard, size_t shards);

}  // namespace glimmer

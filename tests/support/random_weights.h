// Random weights of any type on disk, packed as a model's are, in a device's memory.
#pragma once

#include <deque>
#include <random>
#include <string>
#include <vector>

#include "ops/linear.h"
#include "quant/quant_type.h"
#include "tensor/buffer.h"

namespace glimmer::testing {

inline std::vector<float> random_values(std::mt19937& rng, int64_t count) {
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = static_cast<float>(rng() >> 8) / (1 << 23) - 1.0F;
  return values;
}

// Owns what its weights are.
class RandomWeights {
 public:
  explicit RandomWeights(Memory& memory, unsigned seed = 3) : memory_(memory), rng_(seed) {}

  // [rows, columns] of a type by name: "q4_k". The same calls give the same weights on every device.
  LinearWeight linear(const std::string& type_name, int64_t rows, int64_t columns) {
    const QuantType& type = require_quant_type(type_name);
    const QuantParams params;
    std::vector<std::vector<std::byte>> parts;
    std::vector<std::byte*> out;
    EncodedMatrix encoded{.type = &type, .params = params, .rows = rows, .columns = columns, .stored_rows = rows};
    for (const QuantPart& part : type.parts(params, rows, columns)) {
      parts.emplace_back(dtype_bytes(part.dtype, part.shape.element_count()));
    }
    for (auto& part : parts) out.push_back(part.data());
    const std::vector<float> values = random_values(rng_, rows * columns);
    type.encode(params, values.data(), rows, columns, nullptr, out);
    for (size_t i = 0; i < parts.size(); ++i) encoded.parts[i] = parts[i];
    WeightMatrix packed = weight_matrix_of(type.layout(params, columns), rows, columns);
    std::vector<std::byte> panels(static_cast<size_t>(size_bytes(packed)));
    repack_panels(encoded, packed, 0, panel_count(packed), panels.data());
    Buffer& buffer = buffers_.emplace_back(memory_, panels.size());
    memory_.write(buffer.as<std::byte>(), panels);
    packed.data = buffer.as<std::byte>();
    return {.weight = packed};
  }

 private:
  Memory& memory_;
  std::mt19937 rng_;
  std::deque<Buffer> buffers_;
};

}  // namespace glimmer::testing

#include "source/synthetic_source.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "base/error.h"
#include "base/name_table.h"
#include "base/quoted_name.h"
#include "base/thread_pool.h"
#include "quant/fitting.h"

namespace glimmer {
namespace {

constexpr int64_t kPoolColumns = 2048;  // whole blocks of every type
constexpr int64_t kPieceRows = 128;     // whole pieces of every part (fp8: blocks of 128 rows)
constexpr int64_t kPieceWeights = kPoolColumns * kPieceRows;
// As many as a large matrix has, and quick to encode.
constexpr int64_t kMaxPoolWeights = 64 * kPieceWeights;
constexpr int64_t kMaxPoolBytes = int64_t{32} << 20;

uint64_t mixed(uint64_t x) {  // splitmix64
  x += 0x9E3779B97F4A7C15U;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9U;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBU;
  return x ^ (x >> 31);
}

uint64_t hash_of(std::string_view text, uint64_t seed) {
  uint64_t hash = mixed(seed);
  for (const char c : text) hash = mixed(hash ^ static_cast<unsigned char>(c));
  return hash;
}

// The sum of four uniform numbers, scaled to deviation 1: normal enough, and any of them can be had by its index.
double roughly_normal(uint64_t seed, int64_t index) {
  const uint64_t bits = mixed(seed + static_cast<uint64_t>(index));
  const auto sum = static_cast<double>((bits & 0xFFFF) + (bits >> 16 & 0xFFFF) + (bits >> 32 & 0xFFFF) + (bits >> 48));
  return (sum / 65536 - 2) * std::sqrt(3.0);
}

bool is_router(std::string_view name) { return name.ends_with(".mlp.gate.weight"); }

int64_t part_bytes(const QuantPart& part) {
  return static_cast<int64_t>(dtype_bytes(part.dtype, part.shape.element_count()));
}

int64_t rows_of(const Shape& shape) { return shape.rank() == 1 ? 1 : shape[0]; }
int64_t columns_of(const Shape& shape) { return shape[shape.rank() - 1]; }

// The most rows of `columns` that the pool's parts hold.
int64_t rows_in(const TensorType& type, const std::array<std::span<const std::byte>, kMaxQuantParts>& pool,
                int64_t weights, int64_t columns) {
  const auto hold = [&](int64_t rows) {
    const auto parts = type.type->parts(type.params, rows, columns);
    for (size_t i = 0; i < parts.size(); ++i) {
      if (parts[i].content.empty() && part_bytes(parts[i]) > static_cast<int64_t>(pool[i].size())) return false;
    }
    return true;
  };
  int64_t rows = weights / columns;
  while (rows > 1 && !hold(rows)) rows -= (rows + 7) / 8;  // fp8: blocks that the last columns fill in part
  return rows;
}

}  // namespace

TensorType type_in_file(const QuantType& wanted, const NamedShape& tensor) {
  if (tensor.shape.rank() == 1 || is_router(tensor.name)) return {&require_quant_type("f32"), {}};
  const int64_t columns = columns_of(tensor.shape);
  const QuantType* type = &wanted;
  while (!fits_columns(*type, columns)) {
    const std::string_view next = fallback_type(type->name);
    type = &require_quant_type(next.empty() ? "bf16" : next);
  }
  return {type, default_params(*type, columns)};
}

int64_t file_bytes(const TensorType& type, const Shape& shape) {
  int64_t bytes = 0;
  for (const QuantPart& part : type.type->parts(type.params, rows_of(shape), columns_of(shape))) {
    bytes += part_bytes(part);
  }
  return bytes;
}

int64_t memory_bytes(const TensorType& type, const Shape& shape) {
  if (shape.rank() == 1) return shape[0] * static_cast<int64_t>(sizeof(float));
  const int64_t columns = columns_of(shape);
  return size_bytes(weight_matrix_of(type.type->layout(type.params, columns), rows_of(shape), columns));
}

std::vector<const QuantType*> writable_types() {
  std::vector<const QuantType*> types;
  for (const QuantType* type : all_quant_types()) {
    if (type->encode != nullptr) types.push_back(type);
  }
  return types;
}

const QuantType& require_writable_type(std::string_view name) {
  const QuantType* type = find_quant_type(name);
  if (type != nullptr && type->encode != nullptr) return *type;
  fail(ErrorCode::kUsage, "--type {}: {}; known: {}", quoted_name(name),
       type == nullptr ? "there is no such type" : "this type is only read",
       list_names(writable_types(), &QuantType::name));
}

SyntheticSource::SyntheticSource(Options options, std::span<const NamedShape> tensors)
    : ModelSource("synthetic " + options.name, "synthetic"),
      options_(std::move(options)),
      file_("synthetic " + options_.name) {
  GLIMMER_CHECK(options_.type != nullptr && options_.type->encode != nullptr, "{}: no type to write", options_.name);
  files_ = 0;
  quantization_ = options_.type->name;
  for (const NamedShape& tensor : tensors) {
    Pool& pool = pool_for(type_in_file(*options_.type, tensor), kind_of(tensor.name));
    pool.weights = std::min(kMaxPoolWeights, pool.weights + tensor.shape.element_count());
  }
  for (Pool& pool : pools_) fill(pool);
  for (const NamedShape& tensor : tensors) {
    const Pool& pool = pool_for(type_in_file(*options_.type, tensor), kind_of(tensor.name));
    EncodedMatrix data = window(pool, tensor);
    const DType stored = data.type->parts(data.params, data.stored_rows, data.columns)[0].dtype;
    add({.name = tensor.name,
         .shape = tensor.shape,
         .data = std::move(data),
         .file = file_,
         .stored_name = tensor.name,
         .stored_dtype = stored});
  }
  finish();
}

SyntheticSource::Kind SyntheticSource::kind_of(std::string_view name) {
  if (name.starts_with("model.embed_tokens.")) return Kind::kEmbedding;
  return name.ends_with("norm.weight") ? Kind::kNorm : Kind::kOther;
}

SyntheticSource::Pool& SyntheticSource::pool_for(const TensorType& type, Kind kind) {
  const double mean = kind == Kind::kNorm ? 1 : 0;
  const double deviation = kind == Kind::kNorm ? 0.1 : kind == Kind::kEmbedding ? 1 : 0.02;
  for (Pool& pool : pools_) {
    if (pool.type.type == type.type && pool.type.params == type.params && pool.mean == mean &&
        pool.deviation == deviation) {
      return pool;
    }
  }
  return pools_.emplace_back(Pool{.type = type, .mean = mean, .deviation = deviation});
}

void SyntheticSource::fill(Pool& pool) {
  const QuantType& type = *pool.type.type;
  const double bits = bits_per_weight(type, pool.type.params, kPieceRows, kPoolColumns);
  const auto most = static_cast<int64_t>(static_cast<double>(kMaxPoolBytes) * 8 / bits) / kPieceWeights;
  const int64_t pieces = std::clamp<int64_t>((pool.weights + kPieceWeights - 1) / kPieceWeights, 1, most);
  pool.weights = pieces * kPieceWeights;
  const auto parts = type.parts(pool.type.params, pieces * kPieceRows, kPoolColumns);
  std::array<std::byte*, kMaxQuantParts> at{};
  for (size_t i = 0; i < parts.size(); ++i) {
    if (!parts[i].content.empty()) continue;
    GLIMMER_CHECK(parts[i].matrix_rows > 0, "{}{} does not follow the rows", type.name, parts[i].suffix);
    const std::span<std::byte> bytes = memory_.emplace_back(static_cast<size_t>(part_bytes(parts[i]))).bytes();
    pool.parts[i] = bytes;
    at[i] = bytes.data();
  }
  const uint64_t seed = mixed(options_.seed) + static_cast<uint64_t>(pool.deviation * 1000);
  ThreadPool threads(available_threads());
  std::vector<std::vector<float>> values(static_cast<size_t>(threads.threads()),
                                         std::vector<float>(static_cast<size_t>(kPieceWeights)));
  threads.parallel_for(pieces, 1, [&](int64_t begin, int64_t end, int worker) {
    std::vector<float>& own = values[static_cast<size_t>(worker)];
    for (int64_t piece = begin; piece < end; ++piece) {
      for (int64_t i = 0; i < kPieceWeights; ++i) {
        own[i] = static_cast<float>(pool.mean + pool.deviation * roughly_normal(seed, piece * kPieceWeights + i));
      }
      std::array<std::byte*, kMaxQuantParts> out{};
      for (size_t i = 0; i < parts.size(); ++i) {
        if (at[i] != nullptr) out[i] = at[i] + part_bytes(parts[i]) / pieces * piece;
      }
      type.encode(pool.type.params, own.data(), kPieceRows, kPoolColumns, nullptr, {out.data(), parts.size()});
    }
  });
}

EncodedMatrix SyntheticSource::window(const Pool& pool, const NamedShape& tensor) const {
  EncodedMatrix matrix;
  matrix.type = pool.type.type;
  matrix.params = pool.type.params;
  matrix.rows = rows_of(tensor.shape);
  matrix.columns = columns_of(tensor.shape);
  matrix.stored_rows = rows_in(pool.type, pool.parts, pool.weights, matrix.columns);
  const auto parts = matrix.type->parts(matrix.params, matrix.stored_rows, matrix.columns);
  for (size_t i = 0; i < parts.size(); ++i) {
    if (parts[i].content.empty()) matrix.parts[i] = pool.parts[i].first(static_cast<size_t>(part_bytes(parts[i])));
  }
  const auto offset = static_cast<int64_t>(hash_of(tensor.name, options_.seed) >> 1);
  if (matrix.rows <= matrix.stored_rows) {
    matrix.first_row = offset % (matrix.stored_rows - matrix.rows + 1);
    return matrix;
  }
  auto rows = std::make_shared<std::vector<int32_t>>(static_cast<size_t>(matrix.rows));
  std::iota(rows->begin(), rows->end(), 0);
  for (int32_t& row : *rows) row = static_cast<int32_t>((offset % matrix.stored_rows + row) % matrix.stored_rows);
  matrix.row_map = std::move(rows);
  return matrix;
}

std::optional<std::string> SyntheticSource::side_file(std::string_view name) const {
  return name == "config.json" ? std::optional(options_.config_json) : std::nullopt;
}

std::string SyntheticSource::side_file_label(std::string_view name) const {
  return fmt::format("{} ({})", file_, name);
}

}  // namespace glimmer

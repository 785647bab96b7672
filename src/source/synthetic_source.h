// A model with random weights of any shape and type, backed by a small pool of values in memory, for `glimmer bench
// --synthetic`: to measure speed, weights need the right sizes and layouts, not meaning.
//
// Values are roughly normal and the same for the same seed: embeddings of deviation 1, so that tokens stay apart in the
// residual stream; norms around 1; everything else of deviation 0.02, so that products of a few thousand columns keep
// the size of what goes in, and routers choose evenly. Matrices are windows of one pool a type, at offsets that their
// names give; where a matrix is larger than the pool, its rows repeat.
#pragma once

#include <array>
#include <deque>
#include <map>
#include <span>
#include <tuple>

#include "source/model_source.h"
#include "source/shared_bytes.h"
#include "tensor/named_shape.h"

namespace glimmer {

struct TensorType {
  const QuantType* type = nullptr;
  QuantParams params;
};

// What a quantised file has for the tensor when its matrices are of type `wanted`: f32 for vectors and the router, the
// type itself for matrices, and where their rows are no whole blocks of it what llama.cpp writes instead (or bf16).
TensorType type_in_file(const QuantType& wanted, const NamedShape& tensor);
int64_t file_bytes(const TensorType& type, const Shape& shape);    // on disk
int64_t memory_bytes(const TensorType& type, const Shape& shape);  // as kernels read it

// By name. Throws kUsage for an unknown one and for one that is only read, listing those that can be written.
const QuantType& require_writable_type(std::string_view name);
std::vector<const QuantType*> writable_types();

class SyntheticSource final : public ModelSource {
 public:
  struct Options {
    std::string name;                 // for messages: "GLM-4.7-Flash"
    std::string config_json;          // the text
    const QuantType* type = nullptr;  // of the matrices; it has an `encode`
    uint64_t seed = 1;
  };
  // `tensors`: all that the model has (model/expected_tensors.h; of MLA in halves, as GGUF files have it).
  SyntheticSource(Options options, std::span<const NamedShape> tensors);

  std::optional<std::string> side_file(std::string_view name) const override;  // config.json alone
  std::string side_file_label(std::string_view name) const override;
  std::vector<std::string> side_files() const override { return {"config.json"}; }
  void check_unchanged() const override {}  // there is no file

 private:
  // Random values of one kind in one type, as a matrix of any width: types write rows one after the other, so that a
  // run of whole blocks is as good a row as any.
  struct Pool {
    TensorType type;
    double mean = 0;
    double deviation = 0;
    int64_t weights = 0;
    std::array<std::span<const std::byte>, kMaxQuantParts> parts;
  };
  enum class Kind { kEmbedding, kNorm, kOther };

  static Kind kind_of(std::string_view name);
  Pool& pool_for(const TensorType& type, Kind kind);
  void fill(Pool& pool);
  EncodedMatrix window(const Pool& pool, const NamedShape& tensor) const;

  Options options_;
  std::string file_;  // what SourceTensor::file views
  std::deque<Pool> pools_;
  std::deque<SharedBytes> memory_;
};

}  // namespace glimmer

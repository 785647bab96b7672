#include "model/weights.h"

#include <array>
#include <utility>
#include <vector>

#include "base/error.h"
#include "model/family.h"
#include "model/weight_store.h"

namespace glimmer {
namespace {

std::string file_name(const SourceTensor& tensor) { return std::filesystem::path(tensor.file).filename().string(); }

[[noreturn]] void fail_shape(const SourceTensor& tensor, std::span<const Dim> dims) {
  std::vector<std::string> sizes;
  std::vector<std::string_view> fields;
  for (const Dim& dim : dims) {
    sizes.push_back(std::to_string(dim.size));
    fields.push_back(dim.field);
  }
  fail(ErrorCode::kInvalid, "{}: shape {}, config.json says [{}] ({}) in {}", tensor.name, tensor.shape.to_string(),
       fmt::join(sizes, ", "), fmt::join(fields, ", "), file_name(tensor));
}

void check_shape(const SourceTensor& tensor, std::span<const Dim> dims) {
  bool same = tensor.shape.rank() == static_cast<int>(dims.size());
  for (int i = 0; same && i < tensor.shape.rank(); ++i) same = tensor.shape[i] == dims[i].size;
  if (!same) fail_shape(tensor, dims);
  if (tensor.data.type == nullptr) {
    fail(ErrorCode::kUnsupported, "{}: dtype {}, expected one of F32, BF16, F16, F8_E4M3 or a quantised type in {}",
         tensor.name, dtype_name(tensor.stored_dtype), file_name(tensor));
  }
}

}  // namespace

namespace {

void bind_head(WeightBinder& top, const ModelConfig& config, const Placement& placement, Weights& weights) {
  const Dim vocab{config.vocab_size, "vocab_size"};
  const Dim hidden{config.hidden_size, "hidden_size"};
  const char* name = config.tie_word_embeddings ? "model.embed_tokens" : "lm_head";
  if (config.tie_word_embeddings && placement.vocab == nullptr && placement.is_first_stage()) {
    weights.lm_head = {.weight = weights.embed_tokens, .name = "model.embed_tokens.weight"};
  } else {
    weights.lm_head = top.linear(name, vocab, hidden, WeightBinder::Bias::kNone, placement.vocab.get());
  }
}

}  // namespace

bool WeightBinder::has(std::string_view name) const { return store_.find(prefix_ + std::string(name)) != nullptr; }

LinearWeight WeightBinder::linear(std::string_view name, Dim out, Dim in, Bias bias, const RowCut* cut) {
  const Part whole{.rows = out.size, .cut = cut};
  return linear_parts(name, out, in, {&whole, 1}, bias).front();
}

std::vector<LinearWeight> WeightBinder::linear_parts(std::string_view name, Dim out, Dim in,
                                                     std::span<const Part> parts, Bias bias) {
  const SourceTensor& tensor = store_.require(prefix_ + std::string(name) + ".weight");
  check_shape(tensor, std::array{out, in});
  std::vector<LinearWeight> weights;
  std::vector<int64_t> first_rows;
  int64_t at = 0;
  for (const Part& part : parts) {
    const Range range = part.cut == nullptr ? Range{0, part.rows} : part.cut->own();
    GLIMMER_CHECK(part.cut == nullptr || part.cut->rows == part.rows, "{}: a cut of {} rows, of {}", tensor.name,
                  part.cut->rows, part.rows);
    if (part.is_ours) {
      const EncodedMatrix rows = tensor.data.slice(at + range.begin, range.size());
      weights.push_back(part.transposed ? store_.pack_transposed(rows) : store_.pack(rows));
      // A transposed part reads other columns than the tensor does, so it does not carry the tensor's name.
      if (!part.transposed) weights.back().name = tensor.name;
      weights.back().cut = part.cut;
      first_rows.push_back(at + range.begin);
    }
    at += part.rows;
  }
  GLIMMER_CHECK(at == out.size, "{}: parts of {} rows, of {}", tensor.name, at, out.size);
  store_.report(tensor);
  if (bias == Bias::kRequired) {
    const auto* values = f32(std::string(name) + ".bias", {out}).as<float>();
    for (size_t i = 0; i < weights.size(); ++i) {
      if (!weights[i].name.empty()) weights[i].bias = values + first_rows[i];
    }
  }
  return weights;
}

LinearWeight WeightBinder::linear_f32(std::string_view name, Dim out, Dim in) {
  const SourceTensor& tensor = store_.require(prefix_ + std::string(name) + ".weight");
  check_shape(tensor, std::array{out, in});
  const LinearWeight weight = store_.pack_f32(tensor.data);
  store_.report(tensor);
  return weight;
}

LinearWeight WeightBinder::table(std::string_view name, Dim out, Dim in) {
  const SourceTensor& tensor = store_.require(prefix_ + std::string(name) + ".weight");
  check_shape(tensor, std::array{out, in});
  const LinearWeight weight{.weight = store_.pack_whole(tensor.data), .name = tensor.name};
  store_.report(tensor);
  return weight;
}

ConstTensorView WeightBinder::f32(std::string_view name, std::initializer_list<Dim> shape) {
  const SourceTensor& tensor = store_.require(prefix_ + std::string(name));
  check_shape(tensor, std::span(shape.begin(), shape.size()));
  const float* values = store_.f32(tensor.data);
  store_.report(tensor);
  return {values, DType::kF32, tensor.shape};
}

std::unique_ptr<Weights> bind_weights(std::shared_ptr<const ModelSource> source, const Family& family,
                                      const ModelConfig& config, const Placement& placement, Device& device,
                                      const Model::ProgressCallback& progress) {
  auto weights = std::make_unique<Weights>();
  auto store = std::make_shared<WeightStore>(std::move(source), device, progress);
  const Dim vocab{config.vocab_size, "vocab_size"};
  const Dim hidden{config.hidden_size, "hidden_size"};
  WeightBinder top(*store, config, placement, "", -1);
  if (placement.is_first_stage()) {
    weights->embed_tokens = top.table("model.embed_tokens", vocab, hidden).weight;
  }
  weights->layers.resize(static_cast<size_t>(config.num_hidden_layers));
  for (int64_t layer = placement.layers().begin; layer < placement.layers().end; ++layer) {
    WeightBinder binder(*store, config, placement, fmt::format("model.layers.{}.", layer), layer);
    family.bind_layer(binder, config, weights->layers[static_cast<size_t>(layer)]);
  }
  if (placement.is_last_stage()) {
    weights->norm = top.f32("model.norm.weight", {hidden});
    bind_head(top, config, placement, *weights);
    if (config.tie_word_embeddings) store->claim("lm_head.weight");  // where a file has it all the same, the tie wins
  }
  store->report_unclaimed(config, placement);
  store->end_binding();
  weights->store = std::move(store);
  return weights;
}

}  // namespace glimmer

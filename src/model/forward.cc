#include "model/forward.h"

#include <algorithm>

#include "base/error.h"
#include "model/family.h"
#include "model/layers/decoder_layer.h"
#include "model/pass_memory.h"
#include "model/rope_frequencies.h"
#include "ops/elementwise.h"

namespace glimmer {
namespace {

void check_tokens(const ModelConfig& config, std::span<const int32_t> tokens, int64_t past_tokens) {
  for (const int32_t id : tokens) {
    if (id < 0 || id >= config.vocab_size) {
      fail(ErrorCode::kInvalid, "token id {}: expected 0 to {} (vocab_size {} in {})", id, config.vocab_size - 1,
           config.vocab_size, config.source);
    }
  }
  const int64_t total = past_tokens + static_cast<int64_t>(tokens.size());
  if (total > config.max_position_embeddings) {
    fail(ErrorCode::kLimit,
         "the sequence would grow to {} tokens, the model's context holds {} (max_position_embeddings in {})", total,
         config.max_position_embeddings, config.source);
  }
}

// Makes it a tensor of at least so many rows.
void make_rows(Tensor& tensor, Memory& memory, int64_t rows, int64_t columns) {
  if (tensor.shape().rank() == 0 || tensor.shape()[0] < rows) tensor = Tensor(memory, DType::kF32, {rows, columns});
}

}  // namespace

Forward::Forward(const Model& model, Context& context, int64_t chunk_tokens)
    : model_(model),
      context_(context),
      chunk_tokens_(chunk_tokens),
      inv_freq_(rope_frequencies(model.config().rope_parameters)),
      memory_(std::make_unique<PassMemory>(model.config(), chunk_tokens, context.device().memory())) {}

Forward::~Forward() = default;

ConstTensorView Forward::run(std::span<const int32_t> tokens, KvCache& kv, LogitsFor logits_for) {
  const auto count = static_cast<int64_t>(tokens.size());
  const int64_t rows = logits_for == LogitsFor::kNone ? 0 : logits_for == LogitsFor::kLastToken ? 1 : count;
  const SequenceTokens sequence{.tokens = tokens, .kv = &kv, .logits_rows = rows};
  run(std::span(&sequence, 1));
  return logits();
}

void Forward::run(std::span<const SequenceTokens> sequences) {
  const ModelConfig& config = model_.config();
  const Weights& weights = model_.weights();
  PassMemory& a = *memory_;
  begin(sequences);
  const TensorView hidden = PassMemory::rows(a.hidden, batch_.rows());
  const RopeParameters& rope = config.rope_parameters;
  fill_rope(context_, {.inv_freq = inv_freq_,
                       .attention_factor = static_cast<float>(rope.attention_factor),
                       .positions = batch_.positions,
                       .cos = a.rope_cos.as<float>(),
                       .sin = a.rope_sin.as<float>()});
  embed(context_, weights.embed_tokens, batch_.tokens, hidden);
  context_.record("embed_tokens", hidden);
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    if (context_.cancelled()) fail(ErrorCode::kCancelled, "interrupted in layer {}", layer);
    LayerPass pass{.ctx = context_,
                   .config = config,
                   .weights = weights.layers[layer],
                   .a = a,
                   .batch = batch_,
                   .kv = sequences.front().kv->layer(layer),
                   .rope = {a.rope_cos.as<float>(), a.rope_sin.as<float>(), rope.rotary_dim, rope.pairing},
                   .layer = layer,
                   .tokens = batch_.rows()};
    model_.family().forward_layer(pass);
  }
  for (const SequenceTokens& s : sequences) s.kv->append(static_cast<int64_t>(s.tokens.size()));
}

// Checks the sequences, makes room in their caches, and describes the batch.
void Forward::begin(std::span<const SequenceTokens> sequences) {
  int64_t rows = 0;
  batch_.sequences.clear();
  batch_.tokens.clear();
  batch_.positions.clear();
  logits_rows_.clear();
  for (const SequenceTokens& s : sequences) {
    const auto tokens = static_cast<int64_t>(s.tokens.size());
    GLIMMER_CHECK(tokens >= 1 && s.kv->shares_pool_with(*sequences.front().kv), "{} tokens", tokens);
    GLIMMER_CHECK(&s.kv->memory() == &context_.device().memory(), "keys and values in another memory than {}'s",
                  context_.device().name());
    GLIMMER_CHECK(s.logits_rows >= 0 && s.logits_rows <= tokens, "{} rows of logits of {} tokens", s.logits_rows,
                  tokens);
    check_tokens(model_.config(), s.tokens, s.kv->size_tokens());
    rows += tokens;
    for (int64_t row = rows - s.logits_rows; row < rows; ++row) logits_rows_.push_back(row);
  }
  GLIMMER_CHECK(rows >= 1 && rows <= chunk_tokens_, "{} tokens, chunk of {}", rows, chunk_tokens_);
  for (const SequenceTokens& s : sequences) {
    const auto tokens = static_cast<int64_t>(s.tokens.size());
    const int64_t past = s.kv->size_tokens();
    s.kv->reserve(past + tokens);
    batch_.sequences.push_back(
        {.first_row = batch_.rows(), .tokens = tokens, .past_tokens = past, .pages = s.kv->page_ids()});
    batch_.tokens.insert(batch_.tokens.end(), s.tokens.begin(), s.tokens.end());
    for (int64_t t = 0; t < tokens; ++t) batch_.positions.push_back(static_cast<int32_t>(past + t));
  }
}

ConstTensorView Forward::logits() {
  if (logits_rows_.empty()) return {};
  const auto count = static_cast<int64_t>(logits_rows_.size());
  const bool is_range = logits_rows_.back() - logits_rows_.front() + 1 == count;
  if (is_range) return logits_of_tokens(logits_rows_.front(), count);
  PassMemory& a = *memory_;
  const TensorView hidden = PassMemory::rows(a.attn_out, count);
  gather_rows(context_, a.hidden.view(), logits_rows_, hidden);
  return logits_of(hidden);
}

ConstTensorView Forward::logits_of_tokens(int64_t first, int64_t count) {
  GLIMMER_CHECK(first >= 0 && count >= 1 && first + count <= batch_.rows(), "rows {} to {} of {}", first, first + count,
                batch_.rows());
  const int64_t hidden_size = model_.config().hidden_size;
  return logits_of(TensorView{memory_->hidden.as<float>() + first * hidden_size, DType::kF32, {count, hidden_size}});
}

ConstTensorView Forward::logits_of(TensorView hidden) {
  const ModelConfig& config = model_.config();
  PassMemory& a = *memory_;
  const int64_t rows = hidden.shape[0];
  Memory& memory = context_.device().memory();
  make_rows(a.logits, memory, rows, config.vocab_size);
  const TensorView normed = PassMemory::rows(a.normed, rows);
  const TensorView out = PassMemory::rows(a.logits, rows);
  rms_norm(context_, hidden, model_.weights().norm, config.rms_norm_eps, normed);
  context_.record("norm", normed);
  linear(context_, model_.weights().lm_head, normed, out);
  context_.record("logits", out);
  if (memory.is_host()) return out;
  make_rows(a.host_logits, host_memory(), rows, config.vocab_size);
  const TensorView on_host = PassMemory::rows(a.host_logits, rows);
  memory.read(static_cast<const std::byte*>(out.data), {static_cast<std::byte*>(on_host.data), on_host.size_bytes()});
  return on_host;
}

KvCache Forward::make_cache() const { return KvCache(model_.config(), context_.kv_type(), context_.device().memory()); }

int64_t Forward::active_bytes(int64_t position, KvType type) const {
  return model_.active_weight_bytes() + KvCache::bytes_per_token(model_.config(), type) * (position + 1);
}

}  // namespace glimmer

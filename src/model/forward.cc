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

}  // namespace

Forward::Forward(const Model& model, Context& context, int64_t chunk_tokens)
    : model_(model),
      context_(context),
      chunk_tokens_(chunk_tokens),
      inv_freq_(rope_frequencies(model.config().rope_parameters)),
      memory_(std::make_unique<PassMemory>(model.config(), chunk_tokens)) {}

Forward::~Forward() = default;

ConstTensorView Forward::run(std::span<const int32_t> tokens, KvCache& kv, LogitsFor logits_for) {
  const SequenceTokens sequence{tokens, &kv};
  return run(std::span(&sequence, 1), logits_for);
}

ConstTensorView Forward::run(std::span<const SequenceTokens> batch, LogitsFor logits_for) {
  const ModelConfig& config = model_.config();
  const Weights& weights = model_.weights();
  PassMemory& a = *memory_;
  const int64_t count = begin(batch);
  const TensorView hidden = PassMemory::rows(a.hidden, count);
  const RopeParameters& rope = config.rope_parameters;
  for (size_t i = 0; i < batch.size(); ++i) {
    const AttentionSequence& s = sequences_[i];
    const int64_t at = s.first_row * (rope.rotary_dim / 2);
    fill_rope(context_, {.inv_freq = inv_freq_,
                         .attention_factor = static_cast<float>(rope.attention_factor),
                         .first_position = s.past_tokens,
                         .tokens = s.tokens,
                         .cos = a.rope_cos.as<float>() + at,
                         .sin = a.rope_sin.as<float>() + at});
    const TensorView rows{
        hidden.as<float>() + s.first_row * config.hidden_size, DType::kF32, {s.tokens, config.hidden_size}};
    embed(context_, weights.embed_tokens, batch[i].tokens, rows);
  }
  context_.record("embed_tokens", hidden);
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    if (context_.cancelled()) fail(ErrorCode::kCancelled, "interrupted in layer {}", layer);
    for (size_t i = 0; i < batch.size(); ++i) sequences_[i].kv = batch[i].kv->layer(layer);
    LayerPass pass{.ctx = context_,
                   .config = config,
                   .weights = weights.layers[layer],
                   .a = a,
                   .sequences = sequences_,
                   .rope = {a.rope_cos.as<float>(), a.rope_sin.as<float>(), rope.rotary_dim, rope.pairing},
                   .layer = layer,
                   .tokens = count};
    model_.family().forward_layer(pass);
  }
  for (const SequenceTokens& s : batch) s.kv->append(static_cast<int64_t>(s.tokens.size()));
  return logits(logits_for);
}

// Checks a batch, reserves room in its caches, and lays out its rows.
int64_t Forward::begin(std::span<const SequenceTokens> batch) {
  int64_t count = 0;
  sequences_.clear();
  for (const SequenceTokens& s : batch) {
    const auto tokens = static_cast<int64_t>(s.tokens.size());
    GLIMMER_CHECK(tokens >= 1 && s.kv->type() == batch.front().kv->type(), "{} tokens", tokens);
    check_tokens(model_.config(), s.tokens, s.kv->size_tokens());
    sequences_.push_back({.first_row = count, .tokens = tokens, .past_tokens = s.kv->size_tokens()});
    count += tokens;
  }
  GLIMMER_CHECK(count >= 1 && count <= chunk_tokens_, "{} tokens, chunk of {}", count, chunk_tokens_);
  for (const SequenceTokens& s : batch) s.kv->reserve(s.kv->size_tokens() + static_cast<int64_t>(s.tokens.size()));
  return count;
}

ConstTensorView Forward::logits(LogitsFor logits_for) {
  if (logits_for == LogitsFor::kNone || sequences_.empty()) return {};
  if (logits_for == LogitsFor::kAllTokens) {
    return logits_of_tokens(0, sequences_.back().first_row + sequences_.back().tokens);
  }
  PassMemory& a = *memory_;
  const TensorView hidden = PassMemory::rows(a.attn_out, static_cast<int64_t>(sequences_.size()));
  std::vector<int64_t> last;
  for (const AttentionSequence& s : sequences_) last.push_back(s.first_row + s.tokens - 1);
  gather_rows(context_, a.hidden.view(), last, hidden);
  return logits_of(hidden);
}

ConstTensorView Forward::logits_of_tokens(int64_t first, int64_t count) {
  const int64_t tokens = sequences_.empty() ? 0 : sequences_.back().first_row + sequences_.back().tokens;
  GLIMMER_CHECK(first >= 0 && count >= 1 && first + count <= tokens, "rows {} to {} of {}", first, first + count,
                tokens);
  const int64_t hidden_size = model_.config().hidden_size;
  return logits_of(TensorView{memory_->hidden.as<float>() + first * hidden_size, DType::kF32, {count, hidden_size}});
}

ConstTensorView Forward::logits_of(TensorView hidden) {
  const ModelConfig& config = model_.config();
  PassMemory& a = *memory_;
  const int64_t rows = hidden.shape[0];
  if (a.logits.shape().rank() == 0 || a.logits.shape()[0] < rows) {
    a.logits = Tensor(DType::kF32, {rows, config.vocab_size});
  }
  const TensorView normed = PassMemory::rows(a.normed, rows);
  const TensorView out = PassMemory::rows(a.logits, rows);
  rms_norm(context_, hidden, model_.weights().norm, config.rms_norm_eps, normed);
  context_.record("norm", normed);
  linear(context_, model_.weights().lm_head, normed, out);
  context_.record("logits", out);
  return out;
}

int64_t Forward::active_bytes(int64_t position, KvType type) const {
  return model_.active_weight_bytes() + KvCache::bytes_per_token(model_.config(), type) * (position + 1);
}

}  // namespace glimmer

#include "model/forward.h"

#include <algorithm>

#include "base/error.h"
#include "model/family.h"
#include "model/layers/decoder_layer.h"
#include "model/pass_memory.h"
#include "model/rope_frequencies.h"
#include "ops/elementwise.h"
#include "ops/gather.h"

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

Forward::Forward(const Model& model, Context& context, int64_t chunk_tokens, comm::Group& world)
    : model_(model),
      context_(context),
      world_(world),
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
  run(describe(sequences), sequences.front().kv->share());
  for (const SequenceTokens& s : sequences) s.kv->append(static_cast<int64_t>(s.tokens.size()));
}

void Forward::run(const Batch& batch, const KvMemory& kv) {
  const ModelConfig& config = model_.config();
  const Weights& weights = model_.weights();
  const Placement& placement = model_.placement();
  PassMemory& a = *memory_;
  GLIMMER_CHECK(batch.rows() >= 1 && batch.rows() <= chunk_tokens_, "{} tokens, chunk of {}", batch.rows(),
                chunk_tokens_);
  GLIMMER_CHECK(&kv.memory() == &context_.device().memory() && kv.layers() == placement.layers().size(),
                "keys and values of {} layers, in {}'s memory: {}", kv.layers(), context_.device().name(),
                &kv.memory() == &context_.device().memory());
  ran_ = &batch;
  const TensorView hidden = PassMemory::rows(a.hidden, batch.rows());
  const RopeParameters& rope = config.rope_parameters;
  fill_rope(context_, {.inv_freq = inv_freq_,
                       .attention_factor = static_cast<float>(rope.attention_factor),
                       .positions = batch.positions,
                       .cos = a.rope_cos.as<float>(),
                       .sin = a.rope_sin.as<float>()});
  if (placement.is_first_stage()) {
    embed(context_, weights.embed_tokens, batch.tokens, hidden);
    context_.record("embed_tokens", -1, hidden);
  } else {
    receive_hidden(hidden);
  }
  const Range layers = placement.layers();
  for (int64_t layer = layers.begin; layer < layers.end; ++layer) {
    if (context_.cancelled()) fail(ErrorCode::kCancelled, "interrupted in layer {}", layer);
    LayerPass pass{.ctx = context_,
                   .config = config,
                   .placement = placement,
                   .weights = weights.layers[static_cast<size_t>(layer)],
                   .a = a,
                   .batch = batch,
                   .kv = kv.layer(layer - layers.begin),
                   .rope = {a.rope_cos.as<float>(), a.rope_sin.as<float>(), rope.rotary_dim, rope.pairing},
                   .layer = layer,
                   .tokens = batch.rows()};
    model_.family().forward_layer(pass);
  }
  if (!placement.is_last_stage()) send_hidden(hidden);
}

// From the rank before us in the pipeline, and to the one behind: of the same number in its stage. The ranks of a stage
// all have whole rows.
void Forward::receive_hidden(TensorView hidden) {
  const int from = world_.rank() - model_.placement().form.tp;
  const comm::Exchange exchange{"hidden state", model_.placement().layers().begin};
  std::vector<std::byte> bytes(hidden.size_bytes());
  world_.receive(exchange, bytes, from);
  context_.device().memory().write(static_cast<std::byte*>(hidden.data), bytes);
}

void Forward::send_hidden(TensorView hidden) {
  const int to = world_.rank() + model_.placement().form.tp;
  const comm::Exchange exchange{"hidden state", model_.placement().layers().end};
  std::vector<std::byte> bytes(hidden.size_bytes());
  context_.device().memory().read(static_cast<const std::byte*>(hidden.data), bytes);
  world_.send(exchange, bytes, to);
}

const Batch& Forward::describe(std::span<const SequenceTokens> sequences) {
  int64_t rows = 0;
  batch_.sequences.clear();
  batch_.tokens.clear();
  batch_.positions.clear();
  logits_rows_.clear();
  for (const SequenceTokens& s : sequences) {
    const auto tokens = static_cast<int64_t>(s.tokens.size());
    GLIMMER_CHECK(tokens >= 1 && s.kv->shares_pool_with(*sequences.front().kv), "{} tokens", tokens);
    GLIMMER_CHECK(s.logits_rows >= 0 && s.logits_rows <= tokens, "{} rows of logits of {} tokens", s.logits_rows,
                  tokens);
    check_tokens(model_.config(), s.tokens, s.kv->size_tokens());
    rows += tokens;
    for (int64_t row = rows - s.logits_rows; row < rows; ++row) logits_rows_.push_back(row);
  }
  for (const SequenceTokens& s : sequences) {
    const auto tokens = static_cast<int64_t>(s.tokens.size());
    const int64_t past = s.kv->size_tokens();
    s.kv->reserve(past + tokens);
    batch_.sequences.push_back(
        {.first_row = batch_.rows(), .tokens = tokens, .past_tokens = past, .pages = s.kv->page_ids()});
    batch_.tokens.insert(batch_.tokens.end(), s.tokens.begin(), s.tokens.end());
    for (int64_t t = 0; t < tokens; ++t) batch_.positions.push_back(static_cast<int32_t>(past + t));
  }
  return batch_;
}

ConstTensorView Forward::logits() { return logits_of_rows(logits_rows_); }

ConstTensorView Forward::logits_of_rows(std::span<const int64_t> rows) {
  if (rows.empty()) return {};
  const auto count = static_cast<int64_t>(rows.size());
  const bool is_range = rows.back() - rows.front() + 1 == count;
  if (is_range) return logits_of_tokens(rows.front(), count);
  PassMemory& a = *memory_;
  const TensorView hidden = PassMemory::rows(a.attn_out, count);
  gather_rows(context_, a.hidden.view(), rows, hidden);
  return logits_of(hidden);
}

ConstTensorView Forward::logits_of_tokens(int64_t first, int64_t count) {
  GLIMMER_CHECK(first >= 0 && count >= 1 && first + count <= ran_->rows(), "rows {} to {} of {}", first, first + count,
                ran_->rows());
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
  context_.record("norm", -1, normed);
  linear(context_, model_.weights().lm_head, normed, out);
  gather_columns(context_, {.cut = model_.placement().vocab.get(), .x = out, .exchange = {"logits"}});
  context_.record("logits", -1, out);
  if (memory.is_host()) return out;
  make_rows(a.host_logits, host_memory(), rows, config.vocab_size);
  const TensorView on_host = PassMemory::rows(a.host_logits, rows);
  memory.read(static_cast<const std::byte*>(out.data), {static_cast<std::byte*>(on_host.data), on_host.size_bytes()});
  return on_host;
}

KvCache Forward::make_cache() const { return KvCache(model_.config(), context_.kv_type(), context_.device().memory()); }

int64_t Forward::active_bytes(int64_t position, KvType type) const {
  const int64_t token_bytes = KvCache::bytes_per_token(model_.config(), type, model_.placement());
  return model_.active_weight_bytes() + token_bytes * (position + 1);
}

}  // namespace glimmer

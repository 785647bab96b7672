#include "model/placement.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "base/error.h"
#include "model/tensor_names.h"
#include "tensor/weight_layout.h"

namespace glimmer {
namespace {

constexpr std::string_view kKnownForms =
    "tp=N (ranks that divide every layer), pp=N (stages of layers), or both: pp=2,tp=2";
constexpr int kMostRanks = 1024;
constexpr double kMostWeight = 1e9;  // products with numbers of rows stay exact enough

int count_of(std::string_view word, std::string_view value) {
  int count = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), count);
  if (error != std::errc() || end != value.data() + value.size() || count < 1 || count > kMostRanks) {
    fail(ErrorCode::kUsage, "parallel form {}: expected a number from 1 to {} after =", word, kMostRanks);
  }
  return count;
}

int64_t count_before_dot(std::string_view text) {
  int64_t count = 0;
  std::from_chars(text.data(), text.data() + text.size(), count);
  return count;
}

// Ranges in units, as rows of `unit` each, the last of which may be cut short by `rows`.
std::shared_ptr<const RowCut> cut_of(const std::vector<Range>& units, int64_t unit, int64_t rows, int rank) {
  auto cut = std::make_shared<RowCut>();
  cut->rank = rank;
  cut->rows = rows;
  for (const Range& range : units) {
    cut->of_rank.push_back({std::min(range.begin * unit, rows), std::min(range.end * unit, rows)});
  }
  return cut;
}

std::shared_ptr<const RowCut> cut_rows(int64_t rows, int64_t unit, std::span<const double> weights, int rank,
                                       int first = 0) {
  return cut_of(share((rows + unit - 1) / unit, weights, first), unit, rows, rank);
}

// Heads, dealt in the fewest whose `v_dim` columns each fill wire blocks.
std::vector<Range> share_heads(int64_t heads, int64_t v_dim, int64_t wire_block, std::span<const double> weights) {
  const int64_t unit = wire_block / std::gcd(wire_block, v_dim);
  std::vector<Range> ranges = share((heads + unit - 1) / unit, weights);
  for (Range& range : ranges) range = {std::min(range.begin * unit, heads), std::min(range.end * unit, heads)};
  return ranges;
}

LayerCuts cuts_of(const ModelConfig& c, std::span<const double> weights, int rank, int64_t wire_block) {
  constexpr int64_t kUnit = kPanelRows;  // whole panels for the kernels; the last of a matrix may be part of one
  const int64_t wire_unit = std::lcm(kUnit, wire_block);
  const bool mla = c.attention == AttentionKind::kMla;
  const int64_t v_dim = mla ? c.v_head_dim : c.head_dim;
  const std::vector<Range> heads = share_heads(c.num_attention_heads, v_dim, wire_block, weights);
  LayerCuts cuts;
  cuts.heads = cut_of(heads, 1, c.num_attention_heads, rank);
  cuts.q = cut_of(heads, c.qk_head_dim(), c.num_attention_heads * c.qk_head_dim(), rank);
  cuts.attn = cut_of(heads, v_dim, c.num_attention_heads * v_dim, rank);
  if (!mla) {
    const int64_t group = c.num_attention_heads / c.num_key_value_heads;
    std::vector<Range> kv_heads;
    for (const Range& range : heads) {
      kv_heads.push_back(range.empty() ? Range{} : Range{range.begin / group, (range.end - 1) / group + 1});
    }
    cuts.kv_heads = cut_of(kv_heads, 1, c.num_key_value_heads, rank);
    cuts.kv = cut_of(kv_heads, c.head_dim, c.num_key_value_heads * c.head_dim, rank);
  }
  cuts.hidden = cut_rows(c.hidden_size, kUnit, weights, rank);
  cuts.intermediate = cut_rows(c.intermediate_size, wire_unit, weights, rank);
  if (c.n_routed_experts > 0) {
    cuts.shared_intermediate = cut_rows(c.moe_intermediate_size * c.n_shared_experts, wire_unit, weights, rank);
    for (size_t first = 0; first < weights.size(); ++first) {
      cuts.expert_intermediate.push_back(
          cut_rows(c.moe_intermediate_size, wire_unit, weights, rank, static_cast<int>(first)));
    }
  }
  return cuts;
}

void check_split(const ParallelForm& form, std::span<const double> split) {
  if (split.empty()) return;
  if (static_cast<int>(split.size()) != form.ranks()) {
    fail(ErrorCode::kUsage, "split: {} weights for {} ranks ({})", split.size(), form.ranks(), to_string(form));
  }
  for (const double weight : split) {
    if (!(weight >= 0 && weight <= kMostWeight)) {
      fail(ErrorCode::kUsage, "split: weight {}, expected 0 to {}", weight, kMostWeight);
    }
  }
  for (int stage = 0; stage < form.pp; ++stage) {
    const auto part = split.subspan(static_cast<size_t>(stage * form.tp), static_cast<size_t>(form.tp));
    if (std::accumulate(part.begin(), part.end(), 0.0) > 0) continue;
    fail(ErrorCode::kUsage, "split: all weights of {} are 0",
         form.pp == 1 ? "the ranks" : fmt::format("stage {}", stage));
  }
}

}  // namespace

ParallelForm parallel_form(std::string_view text) {
  ParallelForm form;
  bool has_tp = false;
  bool has_pp = false;
  std::string_view rest = text;
  for (bool is_last = false; !is_last;) {
    const std::string_view word = rest.substr(0, rest.find(','));
    is_last = word.size() == rest.size();
    rest.remove_prefix(is_last ? rest.size() : word.size() + 1);
    const size_t equals = word.find('=');
    const std::string_view name = word.substr(0, equals);
    const bool known = equals != std::string_view::npos && (name == "tp" || name == "pp");
    if (!known) fail(ErrorCode::kUsage, "parallel form '{}': expected {}", text, kKnownForms);
    bool& seen = name == "tp" ? has_tp : has_pp;
    if (seen) fail(ErrorCode::kUsage, "parallel form '{}': {} comes twice", text, name);
    seen = true;
    (name == "tp" ? form.tp : form.pp) = count_of(word, word.substr(equals + 1));
  }
  if (form.tp > kMostRanks / form.pp) {
    fail(ErrorCode::kUsage, "parallel form '{}': {} ranks at most", text, kMostRanks);
  }
  return form;
}

std::string to_string(const ParallelForm& form) {
  return form.pp == 1 ? fmt::format("tp={}", form.tp) : fmt::format("pp={},tp={}", form.pp, form.tp);
}

std::vector<Range> share(int64_t units, std::span<const double> weights, int first) {
  const size_t ranks = weights.size();
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  GLIMMER_CHECK(units >= 0 && ranks > 0 && total > 0, "{} units among {} ranks of weight {}", units, ranks, total);
  std::vector<int64_t> counts;
  std::vector<double> remainders;
  int64_t left = units;
  for (const double weight : weights) {
    const double exact = static_cast<double>(units) * weight / total;
    // A rounding error must not turn a whole number into the one below it and a remainder.
    const double whole = std::abs(exact - std::round(exact)) < 1e-9 ? std::round(exact) : std::floor(exact);
    counts.push_back(static_cast<int64_t>(whole));
    remainders.push_back(exact - whole);
    left -= counts.back();
  }
  std::vector<size_t> order(ranks);
  for (size_t i = 0; i < ranks; ++i) order[i] = (i + static_cast<size_t>(first)) % ranks;
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return remainders[a] > remainders[b] + 1e-9; });
  for (size_t i = 0; left > 0; ++i) {
    const size_t rank = order[i % ranks];
    if (weights[rank] == 0) continue;
    ++counts[rank];
    --left;
  }
  std::vector<Range> shares;
  int64_t at = 0;
  for (const int64_t count : counts) {
    shares.push_back({at, at + count});
    at += count;
  }
  return shares;
}

// Dynamic programming over (stage, first layer): a model has a hundred layers and a few stages.
std::vector<Range> share_layers(std::span<const double> costs, std::span<const double> weights) {
  const size_t layers = costs.size();
  const size_t stages = weights.size();
  if (stages > layers) fail(ErrorCode::kUsage, "pp={}: the model has {} layers only", stages, layers);
  std::vector<double> before(layers + 1, 0);
  for (size_t i = 0; i < layers; ++i) before[i + 1] = before[i] + costs[i];
  // best[s][i]: the largest cost / weight of stages s and later when they begin at layer i; next[s][i]: where s ends.
  std::vector<std::vector<double>> best(stages + 1, std::vector<double>(layers + 1, INFINITY));
  std::vector<std::vector<size_t>> next(stages, std::vector<size_t>(layers + 1, 0));
  best[stages][layers] = 0;
  for (size_t s = stages; s-- > 0;) {
    for (size_t i = 0; i < layers; ++i) {
      for (size_t end = i + 1; end <= layers; ++end) {
        const double own = weights[s] > 0 ? (before[end] - before[i]) / weights[s] : 1e300;
        const double worst = std::max(own, best[s + 1][end]);
        if (!(worst < best[s][i])) continue;
        best[s][i] = worst;
        next[s][i] = end;
      }
    }
  }
  std::vector<Range> ranges;
  size_t at = 0;
  for (size_t s = 0; s < stages; ++s) {
    ranges.push_back({static_cast<int64_t>(at), static_cast<int64_t>(next[s][at])});
    at = next[s][at];
  }
  return ranges;
}

int64_t Placement::kv_heads(const ModelConfig& config) const {
  if (config.attention == AttentionKind::kMla) return cuts.heads == nullptr || !cuts.heads->own().empty() ? 1 : 0;
  return cuts.kv_heads == nullptr ? config.num_key_value_heads : cuts.kv_heads->own().size();
}

Placement whole_model(const ModelConfig& config) { return {.layers_of_stage = {{0, config.num_hidden_layers}}}; }

std::vector<Placement> place(const ModelConfig& config, const ParallelForm& form, std::span<const double> split,
                             std::span<const double> layer_costs, int64_t wire_block) {
  GLIMMER_CHECK(wire_block >= 1, "wire blocks of {} columns", wire_block);
  check_split(form, split);
  std::vector<double> rank_weights(static_cast<size_t>(form.tp), 1.0);
  std::vector<double> stage_weights(static_cast<size_t>(form.pp), 1.0);
  if (!split.empty()) {
    for (int i = 0; i < form.tp; ++i) rank_weights[static_cast<size_t>(i)] = split[static_cast<size_t>(i)];
    for (int s = 0; s < form.pp; ++s) {
      const auto part = split.subspan(static_cast<size_t>(s * form.tp), static_cast<size_t>(form.tp));
      stage_weights[static_cast<size_t>(s)] = std::accumulate(part.begin(), part.end(), 0.0);
    }
  }
  const std::vector<double> alike(static_cast<size_t>(config.num_hidden_layers), 1.0);
  GLIMMER_CHECK(layer_costs.empty() || layer_costs.size() == alike.size(), "{} costs of {} layers", layer_costs.size(),
                alike.size());
  const std::vector<Range> layers = share_layers(layer_costs.empty() ? alike : layer_costs, stage_weights);
  std::vector<Placement> placements;
  for (int rank = 0; rank < form.ranks(); ++rank) {
    Placement placement{.form = form, .rank = rank, .layers_of_stage = layers};
    const int stage_rank = rank % form.tp;
    if (form.tp > 1) {
      // Ranks of a stage weigh the same in all stages: a page of keys and values is then cut alike everywhere.
      placement.cuts = cuts_of(config, rank_weights, stage_rank, wire_block);
      placement.vocab = cut_rows(config.vocab_size, kPanelRows, rank_weights, stage_rank);
    }
    placements.push_back(std::move(placement));
  }
  return placements;
}

int64_t rows_held(const Placement& p, const ModelConfig& config, std::string_view name, int64_t rows) {
  const auto held = [&](const RowCut* cut) { return cut == nullptr ? rows : cut->own().size(); };
  const auto ends = [&](std::string_view suffix) { return name.ends_with(suffix); };
  if (name.starts_with("model.embed_tokens")) {
    const int64_t embedding = p.is_first_stage() ? rows : 0;
    const bool is_head_too = config.tie_word_embeddings && p.is_last_stage();
    if (!is_head_too || (p.vocab == nullptr && p.is_first_stage())) return embedding;
    return embedding + held(p.vocab.get());
  }
  if (name.starts_with("lm_head")) return p.is_last_stage() ? held(p.vocab.get()) : 0;
  const std::optional<int64_t> layer = layer_index(name);
  if (!layer) return p.is_last_stage() ? rows : 0;  // the last norm
  if (*layer < p.layers().begin || *layer >= p.layers().end) return 0;
  const LayerCuts& cuts = p.cuts;
  if (cuts.heads == nullptr) return rows;
  if (ends("o_proj.weight") || ends("o_proj.bias") || ends("down_proj.weight") || ends("down_proj.bias")) {
    return held(cuts.hidden.get());
  }
  if (name.find(".mlp.experts.") != std::string_view::npos) {
    const size_t at = name.find(".mlp.experts.") + std::string_view(".mlp.experts.").size();
    return held(cuts.expert(count_before_dot(name.substr(at))));
  }
  if (name.find(".mlp.shared_experts.") != std::string_view::npos) return held(cuts.shared_intermediate.get());
  if (name.find(".mlp.gate_proj.") != std::string_view::npos || name.find(".mlp.up_proj.") != std::string_view::npos) {
    return held(cuts.intermediate.get());
  }
  // Each half is cut by itself.
  if (name.find(".mlp.gate_up_proj.") != std::string_view::npos) return 2 * held(cuts.intermediate.get());
  if (ends("q_proj.weight") || ends("q_proj.bias") || ends("q_b_proj.weight")) return held(cuts.q.get());
  const int64_t heads = cuts.heads->own().size();
  for (const std::string_view by_head : {"embed_q.weight", "unembed_out.weight", "kv_b_proj.weight"}) {
    if (ends(by_head)) return rows / config.num_attention_heads * heads;
  }
  if (ends("k_proj.weight") || ends("k_proj.bias") || ends("v_proj.weight") || ends("v_proj.bias")) {
    return rows / config.num_key_value_heads * cuts.kv_heads->own().size();
  }
  return rows;
}

std::string describe(std::span<const Placement> placements, const ModelConfig& config) {
  std::string text = fmt::format("{:<6}{:<12}{:<12}{:<12}{:<16}{:<16}{:<16}{}\n", "rank", "layers", "heads", "KV heads",
                                 "o, down rows", "intermediate", "expert's", "vocabulary");
  const auto range_text = [](const Range& range) {
    return range.empty() ? std::string("none") : fmt::format("{}-{}", range.begin, range.end - 1);
  };
  const auto cut_text = [&](const std::shared_ptr<const RowCut>& cut, int64_t whole) {
    return whole == 0 ? "-" : range_text(cut == nullptr ? Range{0, whole} : cut->own());
  };
  for (const Placement& p : placements) {
    const LayerCuts& cuts = p.cuts;
    const bool mla = config.attention == AttentionKind::kMla;
    const std::string kv = mla ? "latent" : cut_text(cuts.kv_heads, config.num_key_value_heads);
    const auto expert = cuts.expert_intermediate.empty() ? nullptr : cuts.expert_intermediate.front();
    text += fmt::format("{:<6}{:<12}{:<12}{:<12}{:<16}{:<16}{:<16}{}\n", p.rank, range_text(p.layers()),
                        cut_text(cuts.heads, config.num_attention_heads), kv, cut_text(cuts.hidden, config.hidden_size),
                        cut_text(cuts.intermediate, config.intermediate_size),
                        cut_text(expert, config.moe_intermediate_size),
                        p.is_last_stage() ? cut_text(p.vocab, config.vocab_size) : "-");
  }
  return text;
}

}  // namespace glimmer

#include "ops/moe.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/cpu/device.h"
#include "ops/cpu/op_bodies.h"

namespace glimmer::cpu {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

// The index of the largest value; ties to the lower. At least one value must be above -infinity.
int64_t argmax(const float* values, int64_t count) {
  int64_t best = 0;
  for (int64_t i = 1; i < count; ++i) {
    if (values[i] > values[best]) best = i;
  }
  return best;
}

// Sets the choice scores of all but the topk_group best groups to -infinity. group_score [2 * n_group] is scratch.
void mask_groups(const RouterRule& rule, float* choice, float* group_score) {
  const int64_t size = rule.n_routed_experts / rule.n_group;
  for (int64_t g = 0; g < rule.n_group; ++g) {
    float first = kMinusInfinity;
    float second = kMinusInfinity;
    for (int64_t i = g * size; i < (g + 1) * size; ++i) {
      second = std::max(second, std::min(first, choice[i]));
      first = std::max(first, choice[i]);
    }
    group_score[g] = first + second;
  }
  float* kept = group_score + rule.n_group;
  std::fill_n(kept, rule.n_group, 0.0F);
  for (int64_t i = 0; i < rule.topk_group; ++i) {
    const int64_t best = argmax(group_score, rule.n_group);
    group_score[best] = kMinusInfinity;
    kept[best] = 1.0F;
  }
  for (int64_t g = 0; g < rule.n_group; ++g) {
    if (kept[g] == 0.0F) std::fill_n(choice + g * size, size, kMinusInfinity);
  }
}

void score(RouterScoring scoring, const float* logits, int64_t count, float* scores) {
  if (scoring == RouterScoring::kSigmoid) {
    for (int64_t e = 0; e < count; ++e) scores[e] = 1.0F / (1.0F + std::exp(-logits[e]));
    return;
  }
  const float most = logits[argmax(logits, count)];
  float sum = 0;
  for (int64_t e = 0; e < count; ++e) sum += scores[e] = std::exp(logits[e] - most);
  for (int64_t e = 0; e < count; ++e) scores[e] /= sum;
}

// `bias` may be null.
void route_token(const RouterRule& rule, const float* logits, const float* bias, float* scratch, float* weights,
                 int32_t* experts) {
  const int64_t count = rule.n_routed_experts;
  float* scores = scratch;
  float* choice = scratch + count;
  score(rule.scoring, logits, count, scores);
  for (int64_t e = 0; e < count; ++e) choice[e] = bias == nullptr ? scores[e] : scores[e] + bias[e];
  if (rule.n_group > 1) mask_groups(rule, choice, scratch + 2 * count);
  float sum = 0;
  for (int64_t k = 0; k < rule.num_experts_per_tok; ++k) {
    const int64_t expert = argmax(choice, count);
    choice[expert] = kMinusInfinity;
    experts[k] = static_cast<int32_t>(expert);
    weights[k] = scores[expert];
    sum += scores[expert];
  }
  const float factor = rule.routed_scaling_factor / (rule.norm_topk_prob ? sum + 1e-20F : 1.0F);
  for (int64_t k = 0; k < rule.num_experts_per_tok; ++k) weights[k] *= factor;
}

// Orders the (token, k) slots by expert: fills slot_row, row_token and first_row.
void group_by_expert(const int32_t* chosen, int64_t tokens, int64_t k, int64_t expert_count, MoeWorkspace& s) {
  const int64_t slots = tokens * k;
  s.slot_row.resize(static_cast<size_t>(slots));
  s.row_token.resize(static_cast<size_t>(slots));
  s.first_row.assign(static_cast<size_t>(expert_count) + 1, 0);
  for (int64_t i = 0; i < slots; ++i) ++s.first_row[chosen[i] + 1];
  for (int64_t e = 0; e < expert_count; ++e) s.first_row[e + 1] += s.first_row[e];
  std::vector<int64_t> next(s.first_row.begin(), s.first_row.end() - 1);
  for (int64_t i = 0; i < slots; ++i) {
    const int64_t row = next[chosen[i]]++;
    s.slot_row[i] = static_cast<int32_t>(row);
    s.row_token[row] = static_cast<int32_t>(i / k);
  }
}

}  // namespace

void route(Context& context, const RouteCall& call) {
  Pass ctx(context);
  const RouterRule& rule = call.rule;
  const int64_t tokens = call.logits.shape[0];
  const int64_t k = rule.num_experts_per_tok;
  ctx.reserve_scratch(2 * (rule.n_routed_experts + rule.n_group));
  ctx.pool().parallel_for(tokens, 16, [&](int64_t begin, int64_t end, int worker) {
    float* scratch = ctx.scratch(worker);
    for (int64_t t = begin; t < end; ++t) {
      route_token(rule, call.logits.as<float>() + t * rule.n_routed_experts,
                  call.bias.empty() ? nullptr : call.bias.as<float>(), scratch, call.weights.as<float>() + t * k,
                  call.experts.as<int32_t>() + t * k);
    }
  });
}

void moe(Context& context, const MoeCall& call) {
  Pass ctx(context);
  MoeWorkspace& s = ctx.device().moe_workspace();
  const int64_t tokens = call.x.shape[0];
  const int64_t hidden_size = call.x.shape[1];
  const LinearWeight& down_proj = call.experts.front().down_proj;  // cut alike in all
  const int64_t own = down_proj.out_features();
  const int64_t k = call.chosen.shape[1];
  const auto expert_count = static_cast<int64_t>(call.experts.size());
  group_by_expert(call.chosen.as<int32_t>(), tokens, k, expert_count, s);
  const int64_t shared_rows = call.shared_experts != nullptr ? tokens : 0;
  const size_t wanted_bytes = static_cast<size_t>((tokens * k + shared_rows) * own) * sizeof(float);
  if (s.down.size_bytes() < wanted_bytes) s.down = Buffer(wanted_bytes);
  auto* down = s.down.as<float>();
  float* shared = down + tokens * k * own;

  s.calls.clear();
  // The shared expert has the most tokens: it comes first, so that no thread starts on it last.
  if (call.shared_experts != nullptr) {
    s.calls.push_back({.weights = call.shared_experts, .count = tokens, .out = shared});
  }
  for (int64_t e = 0; e < expert_count; ++e) {
    const int64_t first = s.first_row[e];
    if (s.first_row[e + 1] == first) continue;
    s.calls.push_back({.weights = &call.experts[e],
                       .tokens = s.row_token.data() + first,
                       .count = s.first_row[e + 1] - first,
                       .out = down + first * own});
  }
  cpu::mlps(context, s.calls, call.x);
  if (own == 0) return;

  constexpr int64_t kGrainTokens = 8;  // each sums num_experts_per_tok + 1 rows: enough work to hand out
  const auto summands = static_cast<size_t>(ctx.pool().threads() * (k + 1));
  s.summed_rows.resize(summands);
  s.summed_weights.resize(summands);
  ctx.pool().parallel_for(tokens, kGrainTokens, [&](int64_t begin, int64_t end, int worker) {
    const float** rows = s.summed_rows.data() + worker * (k + 1);
    float* weights = s.summed_weights.data() + worker * (k + 1);
    weights[k] = 1;
    for (int64_t t = begin; t < end; ++t) {
      for (int64_t i = 0; i < k; ++i) {
        rows[i] = down + s.slot_row[t * k + i] * own;
        weights[i] = call.weights.as<float>()[t * k + i];
      }
      rows[k] = shared + t * own;
      ctx.kernels().weighted_sum(rows, weights, call.shared_experts != nullptr ? k + 1 : k, own,
                                 call.out.as<float>() + t * hidden_size + down_proj.first_row());
    }
  });
}

}  // namespace glimmer::cpu

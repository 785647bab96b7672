#include "engine/importance.h"

#include <algorithm>

namespace glimmer {
namespace {

// Sets the probe of a context for as long as it lives.
class Observing {
 public:
  Observing(Context& context, Probe& probe) : context_(context) { context_.set_probe(&probe); }
  ~Observing() { context_.set_probe(nullptr); }
  Observing(const Observing&) = delete;
  Observing& operator=(const Observing&) = delete;

 private:
  Context& context_;
};

}  // namespace

void ImportanceCollector::take_input(const LinearInput& input) {
  const bool slice_of_the_same =
      input.name == last_.name && input.x == last_.x && input.tokens == last_.tokens && input.columns == last_.columns;
  last_ = input;
  if (slice_of_the_same) return;
  auto found = sums_.find(input.name);
  if (found == sums_.end()) found = sums_.try_emplace(std::string(input.name)).first;
  Sums& sums = found->second;
  if (sums.squares.empty()) sums.squares.resize(static_cast<size_t>(input.columns));
  GLIMMER_CHECK(static_cast<int64_t>(sums.squares.size()) == input.columns, "{}: {} columns, before {}", input.name,
                input.columns, sums.squares.size());
  for (int64_t t = 0; t < input.tokens; ++t) {
    const float* x = input.x + t * input.x_stride;
    for (size_t i = 0; i < sums.squares.size(); ++i) sums.squares[i] += static_cast<double>(x[i]) * x[i];
  }
  sums.count += input.tokens;
}

int64_t ImportanceCollector::count(std::string_view name) const {
  const auto found = sums_.find(name);
  return found == sums_.end() ? 0 : found->second.count;
}

std::vector<WeightImportance> ImportanceCollector::weights() const {
  std::vector<WeightImportance> weights;
  for (const auto& [name, sums] : sums_) {
    weights.push_back(
        {.name = name, .sum_of_squares = {sums.squares.begin(), sums.squares.end()}, .count = sums.count});
  }
  return weights;
}

void collect_importance(Forward& forward, const TextWindows& windows, ImportanceCollector& collector,
                        const EvaluateCallback& progress) {
  GLIMMER_CHECK(forward.chunk_tokens() >= windows.window_tokens(), "windows of {} tokens, chunks of {}",
                windows.window_tokens(), forward.chunk_tokens());
  const Observing observing(forward.context(), collector);
  KvCache kv = forward.make_cache();
  EvaluateProgress state{.total_tokens = windows.count() * windows.window_tokens()};
  for (int64_t index = 0; index < windows.count(); ++index) {
    kv.truncate(0);
    forward.run(windows.window(index), kv, LogitsFor::kAllTokens);
    state.done_tokens += windows.window_tokens();
    if (progress) progress(state);
  }
}

std::vector<ExpertCount> expert_counts(const ImportanceCollector& collector, const ModelConfig& config) {
  std::vector<ExpertCount> counts;
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    if (!config.is_sparse(layer)) continue;
    for (int64_t expert = 0; expert < config.n_routed_experts; ++expert) {
      const std::string name = fmt::format("model.layers.{}.mlp.experts.{}.down_proj.weight", layer, expert);
      counts.push_back({.layer = layer, .expert = expert, .tokens = collector.count(name)});
    }
  }
  return counts;
}

}  // namespace glimmer

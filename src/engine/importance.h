// Measures the mean squared activation that each weight column is multiplied by on a text (an importance matrix): see
// source/importance.h.
//
// Every matmul that linear() runs counts, once for each token, under the name of the stored weight. Row slices of
// one weight that share an input (gate and up halves, heads of kv_b_proj) count once. What Glimmer multiplies by the
// transpose (the key half of kv_b_proj, in one of the two forms of latent attention) is not seen there: kv_b_proj
// counts by its latents alone.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/evaluate.h"
#include "ops/context.h"
#include "source/importance.h"

namespace glimmer {

class ImportanceCollector final : public Probe {
 public:
  bool wants_input(std::string_view weight) const override { return !weight.empty(); }
  void take_input(const LinearInput& input) override;

  int64_t count(std::string_view name) const;     // tokens; 0 for a weight that saw none
  std::vector<WeightImportance> weights() const;  // ascending names

 private:
  struct Sums {
    std::vector<double> squares;  // [columns]
    int64_t count = 0;
  };

  std::map<std::string, Sums, std::less<>> sums_;
  LinearInput last_;
};

// Runs each window as a whole, its last token too. forward.chunk_tokens() must be at least a window. It takes keys,
// values and the logits of a window, and for each weight 8 bytes a column.
// Throws as Forward::run; what `progress` throws passes through. The scored figures of the progress stay 0.
void collect_importance(Forward& forward, const TextWindows& windows, ImportanceCollector& collector,
                        const EvaluateCallback& progress = {});

// How many tokens each routed expert of a model saw.
struct ExpertCount {
  int64_t layer = 0;
  int64_t expert = 0;
  int64_t tokens = 0;
};
std::vector<ExpertCount> expert_counts(const ImportanceCollector& collector, const ModelConfig& config);

}  // namespace glimmer

// Which rank holds what of a model: arithmetic alone, before anything is loaded.
//
// Matrices are cut by output rows only, and their inputs gathered; nothing is summed across ranks. A row's sum runs
// over its columns on one rank, so any number of ranks gives the bits of one
// (docs/decisions/011-cuts-by-output-rows.md).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/range.h"
#include "model/config.h"

namespace glimmer {

// How ranks are arranged: `pp` stages of consecutive layers (pipeline), in each of which `tp` ranks divide every layer
// (tensor parallelism). Rank r is rank r % tp of stage r / tp.
struct ParallelForm {
  int tp = 1;
  int pp = 1;

  int ranks() const { return tp * pp; }
  bool operator==(const ParallelForm&) const = default;
};
// "tp=3", "pp=2,tp=2"; throws kUsage, listing what is known.
ParallelForm parallel_form(std::string_view text);
std::string to_string(const ParallelForm& form);  // "pp=2,tp=2"

// Deals `units` to ranks in proportion to their weights, by largest remainder; some may get none. Equal remainders go
// to the ranks from `first` on. Rank i gets [result[i].begin, result[i].end), one after the other. Weights are at least
// 0 and not all 0 (CHECK).
std::vector<Range> share(int64_t units, std::span<const double> weights, int first = 0);

// Divides layers of these costs into one run of consecutive layers for each weight, none empty, such that the largest
// cost / weight is least. Throws kUsage when there are fewer layers than weights.
std::vector<Range> share_layers(std::span<const double> costs, std::span<const double> weights);

// How a layer's matrices are cut: in rows of the whole matrix. A null pointer means that they are whole on every rank,
// as norms, the router, q_a_proj and kv_a_proj are in any case.
struct LayerCuts {
  std::shared_ptr<const RowCut> heads;         // num_attention_heads
  std::shared_ptr<const RowCut> kv_heads;      // those that the rank's heads read; neighbours may hold the same one
  std::shared_ptr<const RowCut> q;             // rows of q_proj or q_b_proj
  std::shared_ptr<const RowCut> kv;            // rows of k_proj and v_proj; as kv_heads
  std::shared_ptr<const RowCut> attn;          // columns that attention gives o_proj
  std::shared_ptr<const RowCut> hidden;        // rows of o_proj and down_proj
  std::shared_ptr<const RowCut> intermediate;  // rows of a dense layer's gate_proj and up_proj
  std::shared_ptr<const RowCut> shared_intermediate;  // of the shared expert's
  // Of expert e's: [e % size]. Rotated, so that the units left over do not always fall to the same ranks.
  std::vector<std::shared_ptr<const RowCut>> expert_intermediate;

  const RowCut* expert(int64_t e) const {
    return expert_intermediate.empty() ? nullptr
                                       : expert_intermediate[static_cast<size_t>(e) % expert_intermediate.size()].get();
  }
};

// One rank's place.
struct Placement {
  ParallelForm form;
  int rank = 0;
  std::vector<Range> layers_of_stage;
  LayerCuts cuts;                       // alike in all layers
  std::shared_ptr<const RowCut> vocab;  // rows of lm_head

  int stage() const { return rank / form.tp; }
  int stage_rank() const { return rank % form.tp; }
  Range layers() const { return layers_of_stage[static_cast<size_t>(stage())]; }
  bool is_first_stage() const { return stage() == 0; }
  bool is_last_stage() const { return stage() == form.pp - 1; }
  int64_t kv_heads(const ModelConfig& config) const;  // whose keys and values it keeps; MLA: the latent
};

// Everything on one rank.
Placement whole_model(const ModelConfig& config);
// That of each rank. `split` has a weight for each rank, 0 to 1e9: stages are weighed by their sums, a stage's ranks
// by those of the first stage. Empty: all alike. `layer_costs`: bytes of each layer, to balance stages.
// `wire_block`: columns of a matmul's input that come from one rank: 1 where values are sent; where codes are, those
// that share a scale (256 of kInt8, 128 of kInt8Groups). Heads and intermediate rows are then dealt in whole blocks.
// Throws kUsage.
std::vector<Placement> place(const ModelConfig& config, const ParallelForm& form, std::span<const double> split = {},
                             std::span<const double> layer_costs = {}, int64_t wire_block = 1);

// Of the `rows` rows of a tensor, by its canonical name (model/expected_tensors.h), how many the rank holds. Those that
// it holds twice, as a tied embedding and as its share of the head, count twice.
int64_t rows_held(const Placement& placement, const ModelConfig& config, std::string_view name, int64_t rows);

// A table of what each rank holds, one line a rank.
std::string describe(std::span<const Placement> placements, const ModelConfig& config);

}  // namespace glimmer

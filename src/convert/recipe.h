// Which type each matrix of a model becomes.
#pragma once

#include <string>
#include <vector>

#include "convert/target.h"

namespace glimmer::convert {

// The matrices of a model as the target wants them, none with a type yet: kv_b_proj whole or in its halves, empty
// tensors left out. `notes` gets what is left out otherwise (integer tensors, say). Throws kUnsupported on a tensor of
// rank 3 and more, kInvalid on halves of another size than config.json's.
std::vector<ConvertMatrix> convert_matrices(const ModelSource& source, const ModelConfig& config, const Target& target,
                                            std::vector<std::string>& notes);

struct RecipeOptions {
  std::string type;    // --type: what most matrices become; "": as they are, if the target can hold that, else bf16
  std::string recipe;  // --recipe; "": the target's own way, balanced
  // --tensor-type REGEX=TYPE: for matrices whose name the expression is found in; the last that fits wins. Never
  // quantised tensors cannot be named.
  std::vector<std::string> tensor_types;
};

// Names and what they do, for --help:
//   balanced  routed experts and dense MLPs become --type; attention, shared experts, embedding and head a finer one
//   uniform   every matrix becomes --type
//   experts   routed experts become --type, every other matrix 8 bits (or bf16 where the format has no 8)
std::string recipe_help();

// Sets type and params of each. Router, norms, biases and the correction bias are never quantised. A matrix whose rows
// are no whole blocks of its type gets the nearest that fits, as llama.cpp does; `notes` says so. Throws kUsage for an
// unknown type (for this target), recipe or a malformed expression.
void choose_types(const ModelConfig& config, const Target& target, const RecipeOptions& options,
                  std::vector<ConvertMatrix>& matrices, std::vector<std::string>& notes);

// Whether a tensor is never quantised.
bool is_never_quantized(const ConvertMatrix& matrix);

}  // namespace glimmer::convert

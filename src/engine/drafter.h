// Guesses the tokens that come next, so that one step of the model verifies several: they run behind the last token,
// and the sampler chooses at each place as it would without them. What it chooses too is taken at once; from the first
// place where it chooses another, the rest is dropped. So the output is the same to the bit, whatever is guessed, and
// only the number of steps changes.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/sequence.h"

namespace glimmer {

class Drafter {
 public:
  virtual ~Drafter() = default;

  // At most `count` ids that may follow the sequence's tokens, in their order; none when there is no good guess.
  // `count` is at least 1. Called by one thread at a time, for any sequence that its engine or generator runs.
  virtual std::vector<int32_t> draft(const Sequence& sequence, int64_t count) = 0;
};

// Lets the drafter propose at most `most` ids to a sequence, as far as they are of use to it.
void draft(Drafter& drafter, Sequence& sequence, int64_t most);

}  // namespace glimmer

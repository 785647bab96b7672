#include "engine/drafter.h"

#include <algorithm>

#include "base/check.h"

namespace glimmer {

void draft(Drafter& drafter, Sequence& sequence, int64_t most) {
  const int64_t count = std::min(most, sequence.draft_room());
  if (count < 1) return;
  const std::vector<int32_t> ids = drafter.draft(sequence, count);
  GLIMMER_CHECK(static_cast<int64_t>(ids.size()) <= count, "{} drafts, asked for {}", ids.size(), count);
  sequence.draft(ids);
}

}  // namespace glimmer

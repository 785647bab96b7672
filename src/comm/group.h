// Ranks that work on one model together, and what they exchange. Nothing is ever summed across ranks: each computes
// some columns of a row, and gathers the others (docs/decisions/011-cuts-by-output-rows.md).
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/range.h"

namespace glimmer::comm {

// What an exchange is for. All ranks must exchange the same things in the same order; one that does not is found by
// this label.
struct Exchange {
  std::string_view what;  // of static storage: "attention", "step"
  int64_t layer = -1;     // -1: of no layer

  bool operator==(const Exchange&) const = default;
};
std::string describe(const Exchange& exchange);  // "attention of layer 3"

// Rows of which each rank holds some bytes, in place: `data` has room for whole rows.
struct GatherCall {
  std::byte* data = nullptr;
  int64_t rows = 0;
  int64_t row_bytes = 0;           // from one row to the next
  std::span<const Range> of_rank;  // the bytes of a row that each rank holds; may be empty. Alike on all ranks
  int64_t bytes_per_unit = 1;      // what one of a range stands for, so that tables in values serve as they are
};

// One rank's membership. Calls are collective and block until the others have joined in; one thread of a rank makes
// them. When a rank fails, every call of the others throws Error kPeer, which names it and its message.
class Group {
 public:
  virtual ~Group() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;

  // Afterwards the rows are whole on every rank.
  virtual void gather(const Exchange& exchange, std::span<const GatherCall> calls) = 0;
  // Everyone gets what `root` has; the others' content is replaced.
  virtual void broadcast(const Exchange& exchange, int root, std::vector<std::byte>& bytes) = 0;
  // From one rank to another; of both, the sizes are the same. The others take no part.
  virtual void send(const Exchange& exchange, std::span<const std::byte> bytes, int to) = 0;
  virtual void receive(const Exchange& exchange, std::span<std::byte> bytes, int from) = 0;
  // A group of the ranks that give the same color, in their order. Collective.
  virtual std::unique_ptr<Group> split(int color) = 0;

  // Ends the group: this rank cannot go on. Any thread.
  virtual void fail(const std::string& message) noexcept = 0;
};

// The group of one rank, for which every call is a no-op. Never destroyed.
Group& solo();

}  // namespace glimmer::comm

// What runs next: the policy of the engine, by itself. Nothing here knows a model.
//
// - Larger priorities go first, always.
// - Among requests of one priority the tenant that has fewest running goes first, then the one whose tokens were served
//   least, then the request that came first.
// - Generating sequences run in every step. What is left of a step's tokens goes to prompts: half to the one that came
//   first, half to the one with least to do, so that a short prompt does not wait for a long one, nor the long one for
//   ever.
// - Where pages run out, the request that would be taken last gives its own back, and is computed again later. Those
// that
//   rest, because no one reads what they have made, come before all others.
// - Where the queue is full, a request of who has few of it takes the place of one of who has most.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace glimmer {

// A request's rank among others.
struct SchedulerRank {
  int priority = 0;
  int64_t arrival = 0;  // a number that grows

  // Whether this goes before the other, tenants aside.
  bool before(const SchedulerRank& other) const {
    return priority != other.priority ? priority > other.priority : arrival < other.arrival;
  }
};

// What tenants have had.
class TenantLedger {
 public:
  void started(const std::string& tenant);
  void ended(const std::string& tenant);
  void served(const std::string& tenant, int64_t tokens);

  int64_t running(const std::string& tenant) const;
  // Whether a request of one tenant goes before one of the other's, both of the same priority. False for equals.
  bool before(const std::string& tenant, const std::string& other) const;

 private:
  struct Account {
    int64_t running = 0;
    int64_t tokens = 0;
  };
  Account account(const std::string& tenant) const;
  // A tenant that comes anew begins where the least served of those that run is, so that no one saves up for a burst.
  int64_t least_served() const;

  std::map<std::string, Account> accounts_;
};

struct WaitingRequest {
  SchedulerRank rank;
  std::string tenant;
};
// The index of the one to take next; there is one at least.
size_t next_to_admit(std::span<const WaitingRequest> waiting, const TenantLedger& ledger);

// Requests of each tenant that have not ended.
using TenantCounts = std::map<std::string, int64_t>;
// The index of the one among `waiting`, of which none has begun, that gives way to a newcomer in a full queue: the last
// of least priority of the tenant that has most requests. None if that tenant would then have fewer than the
// newcomer's, or where only larger priorities wait.
std::optional<size_t> next_to_displace(std::span<const WaitingRequest> waiting, const TenantCounts& counts,
                                       const WaitingRequest& newcomer);

// Prompts that are being read: tokens to go.
struct PromptDemand {
  SchedulerRank rank;
  int64_t tokens = 0;
};
// How many tokens each gets of `budget`; more than 0 for at least one if there is one and budget > 0.
std::vector<int64_t> share_chunk(std::span<const PromptDemand> prompts, int64_t budget);

}  // namespace glimmer

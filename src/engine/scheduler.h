// The engine's scheduling policy, independent of any model.
//
// - Higher priorities always go first.
// - Within a priority the tenant with the fewest running requests goes first, then the one with the fewest tokens
//   served, then the oldest request.
// - Generating sequences run in every step. The rest of a step's token budget goes to prompts: half to the oldest,
//   half to the shortest, so that short prompts need not wait for a long one, and the long one does not starve.
// - When pages run out, the request that would be admitted last is preempted: it gives up its pages and is recomputed
//   later. Paused requests, whose readers are behind, are preempted before all others.
// - When the queue is full, a tenant with few requests in it displaces one of the tenant with the most.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace glimmer {

// A request's place in the order.
struct SchedulerRank {
  int priority = 0;
  int64_t arrival = 0;  // a number that grows

  // Whether this goes first, apart from tenants.
  bool before(const SchedulerRank& other) const {
    return priority != other.priority ? priority > other.priority : arrival < other.arrival;
  }
};

// What each tenant has used.
class TenantLedger {
 public:
  void started(const std::string& tenant);
  void ended(const std::string& tenant);
  void served(const std::string& tenant, int64_t tokens);

  int64_t running(const std::string& tenant) const;
  // Whether `tenant` goes before `other` within one priority. False for equals.
  bool before(const std::string& tenant, const std::string& other) const;

 private:
  struct Account {
    int64_t running = 0;
    int64_t tokens = 0;
  };
  Account account(const std::string& tenant) const;
  // A returning tenant starts at the lowest count of the running ones, so idle time cannot be banked for a burst.
  int64_t least_served() const;

  std::map<std::string, Account> accounts_;
};

struct WaitingRequest {
  SchedulerRank rank;
  std::string tenant;
};
// Index of the request to admit next. CHECKs that there is one.
size_t next_to_admit(std::span<const WaitingRequest> waiting, const TenantLedger& ledger);

// Unfinished requests of each tenant.
using TenantCounts = std::map<std::string, int64_t>;
// In a full queue, the index of the request among `waiting` (none has begun) that a newcomer displaces: the last of the
// lowest priority of the tenant with the most requests. None if that tenant would then have fewer than the newcomer's,
// or if only higher priorities wait.
std::optional<size_t> next_to_displace(std::span<const WaitingRequest> waiting, const TenantCounts& counts,
                                       const WaitingRequest& newcomer);

// A prompt in prefill: tokens left.
struct PromptDemand {
  SchedulerRank rank;
  int64_t tokens = 0;
};
// Divides `budget` tokens among the prompts. If there are any and budget > 0, at least one gets some.
std::vector<int64_t> share_chunk(std::span<const PromptDemand> prompts, int64_t budget);

}  // namespace glimmer

#include "engine/scheduler.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "base/check.h"

namespace glimmer {

TenantLedger::Account TenantLedger::account(const std::string& tenant) const {
  const auto found = accounts_.find(tenant);
  return found == accounts_.end() ? Account{.running = 0, .tokens = least_served()} : found->second;
}

int64_t TenantLedger::least_served() const {
  int64_t least = std::numeric_limits<int64_t>::max();
  for (const auto& [name, account] : accounts_) least = std::min(least, account.tokens);
  return accounts_.empty() ? 0 : least;
}

void TenantLedger::started(const std::string& tenant) {
  const Account now = account(tenant);
  accounts_[tenant] = {.running = now.running + 1, .tokens = now.tokens};
}

void TenantLedger::ended(const std::string& tenant) {
  const auto found = accounts_.find(tenant);
  GLIMMER_CHECK(found != accounts_.end() && found->second.running > 0, "tenant {} has nothing running", tenant);
  if (--found->second.running == 0) accounts_.erase(found);
}

void TenantLedger::served(const std::string& tenant, int64_t tokens) {
  const auto found = accounts_.find(tenant);
  if (found != accounts_.end()) found->second.tokens += tokens;
}

int64_t TenantLedger::running(const std::string& tenant) const { return account(tenant).running; }

bool TenantLedger::before(const std::string& tenant, const std::string& other) const {
  const Account a = account(tenant);
  const Account b = account(other);
  return a.running != b.running ? a.running < b.running : a.tokens < b.tokens;
}

size_t next_to_admit(std::span<const WaitingRequest> waiting, const TenantLedger& ledger) {
  GLIMMER_CHECK(!waiting.empty(), "nothing waits");
  const auto before = [&](const WaitingRequest& a, const WaitingRequest& b) {
    if (a.rank.priority != b.rank.priority) return a.rank.priority > b.rank.priority;
    if (ledger.before(a.tenant, b.tenant)) return true;
    if (ledger.before(b.tenant, a.tenant)) return false;
    return a.rank.arrival < b.rank.arrival;
  };
  return static_cast<size_t>(std::min_element(waiting.begin(), waiting.end(), before) - waiting.begin());
}

std::optional<size_t> next_to_displace(std::span<const WaitingRequest> waiting, const TenantCounts& counts,
                                       const WaitingRequest& newcomer) {
  const auto count = [&](const std::string& tenant) {
    const auto found = counts.find(tenant);
    return found == counts.end() ? 0 : found->second;
  };
  std::optional<size_t> chosen;
  for (size_t i = 0; i < waiting.size(); ++i) {
    const WaitingRequest& request = waiting[i];
    if (request.rank.priority > newcomer.rank.priority) continue;
    if (count(request.tenant) < count(newcomer.tenant) + 2) continue;
    if (chosen) {
      const WaitingRequest& other = waiting[*chosen];
      const int64_t more = count(request.tenant) - count(other.tenant);
      if (more < 0 || (more == 0 && request.rank.before(other.rank))) continue;
    }
    chosen = i;
  }
  return chosen;
}

std::vector<int64_t> share_chunk(std::span<const PromptDemand> prompts, int64_t budget) {
  std::vector<int64_t> shares(prompts.size(), 0);
  std::vector<size_t> by_rank(prompts.size());
  std::iota(by_rank.begin(), by_rank.end(), size_t{0});
  std::sort(by_rank.begin(), by_rank.end(),
            [&](size_t a, size_t b) { return prompts[a].rank.before(prompts[b].rank); });
  std::vector<size_t> by_size = by_rank;
  std::stable_sort(by_size.begin(), by_size.end(), [&](size_t a, size_t b) {
    if (prompts[a].rank.priority != prompts[b].rank.priority) {
      return prompts[a].rank.priority > prompts[b].rank.priority;
    }
    return prompts[a].tokens < prompts[b].tokens;
  });
  const auto give = [&](const std::vector<size_t>& order, int64_t limit) {
    for (const size_t i : order) {
      const int64_t tokens = std::min({limit, budget, prompts[i].tokens - shares[i]});
      shares[i] += tokens;
      limit -= tokens;
      budget -= tokens;
    }
  };
  give(by_rank, (budget + 1) / 2);
  give(by_size, budget);
  return shares;
}

}  // namespace glimmer

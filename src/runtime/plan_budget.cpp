#include "runtime/plan_budget.h"

#include <algorithm>
#include <memory>
#include <optional>

#include "runtime/environment.h"
#include "runtime/plan_cache.h"

namespace dvm {
namespace {

constexpr auto kOldestOnTop = [](const PlanTicket& a, const PlanTicket& b) {
  return a.used > b.used;
};

}  // namespace

std::size_t PlanBudget::default_limit() {
  return bytes_in_environment("DVM_PLAN_BYTES", std::size_t{64} << 20);
}

PlanBudget& PlanBudget::process() {
  static PlanBudget* const budget = new PlanBudget;  // Executables may outlive all static objects
  return *budget;
}

void PlanBudget::push(const PlanTicket& ticket) {
  tickets_.push_back(ticket);
  std::ranges::push_heap(tickets_, kOldestOnTop);
}

PlanTicket PlanBudget::pop() {
  std::ranges::pop_heap(tickets_, kOldestOnTop);
  const PlanTicket ticket = tickets_.back();
  tickets_.pop_back();
  return ticket;
}

// Until the bound holds, or no more than `tickets` are left. A plan that was used after its ticket was written gets
// another one; it is met again only when all that were used before it are gone.
void PlanBudget::drop_until(std::size_t tickets) {
  while (is_over() && tickets_.size() > tickets) {
    PlanTicket ticket = pop();
    const auto cache = caches_.find(ticket.cache);
    if (cache == caches_.end()) continue;
    if (const std::optional<PlanStamp> used = cache->second->drop(ticket)) {
      ticket.used = *used;
      push(ticket);
    }
  }
}

void PlanBudget::admit(const PlanTicket& newest) {
  const std::lock_guard lock(mutex_);
  drop_until(0);
  push(newest);
  forget_stale();
}

// Plans also go with their Executables, or for the sake of a bound of their own.
void PlanBudget::forget_stale() {
  constexpr std::size_t kFew = 1024;
  if (tickets_.size() < 2 * plans_.load() + kFew) return;
  std::erase_if(tickets_, [&](const PlanTicket& ticket) {
    const auto cache = caches_.find(ticket.cache);
    return cache == caches_.end() || !cache->second->holds(ticket);
  });
  std::ranges::make_heap(tickets_, kOldestOnTop);
}

void PlanBudget::set_limit(std::size_t bytes) {
  limit_.store(bytes);
  const std::lock_guard lock(mutex_);
  drop_until(1);
}

std::uint64_t PlanBudget::join(PlanCache& cache) {
  const std::lock_guard lock(mutex_);
  caches_.emplace(++last_cache_, &cache);
  return last_cache_;
}

void PlanBudget::leave(std::uint64_t number) {
  const std::lock_guard lock(mutex_);
  const auto cache = caches_.find(number);
  const CacheStatistics last = cache->second->statistics();
  caches_.erase(cache);
  gone_.hits += last.hits;
  gone_.misses += last.misses;
  gone_.evictions += last.evictions;
  give_back(last.bytes, last.plans);
}

PlanBudget::Totals PlanBudget::totals() const {
  const std::lock_guard lock(mutex_);
  Totals totals{gone_, caches_.size()};
  for (const auto& [number, cache] : caches_) {
    const CacheStatistics one = cache->statistics();
    totals.plans.hits += one.hits;
    totals.plans.misses += one.misses;
    totals.plans.evictions += one.evictions;
    totals.plans.plans += one.plans;
    totals.plans.bytes += one.bytes;
  }
  totals.plans.limit_bytes = limit_.load();
  return totals;
}

}  // namespace dvm

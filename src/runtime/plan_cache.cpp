#include "runtime/plan_cache.h"

#include <algorithm>
#include <mutex>

namespace dvm {

PlanCache::PlanCache(std::size_t limit_bytes)
    : limit_bytes_(limit_bytes), number_(PlanBudget::process().join(*this)) {}

PlanCache::~PlanCache() { PlanBudget::process().leave(number_); }

std::uint64_t PlanCache::hash(PlanKey key) {
  std::uint64_t h = 0x9e3779b97f4a7c15u;
  for (const std::int64_t word : key) {
    h = (h ^ static_cast<std::uint64_t>(word)) * 0xff51afd7ed558ccdu;
    h ^= h >> 32;
  }
  return h;
}

PlanCache::Entry* PlanCache::look_up(PlanKey key, std::uint64_t hash) {
  const auto [begin, end] = entries_.equal_range(hash);
  for (auto it = begin; it != end; ++it) {
    if (std::ranges::equal(it->second.key, key)) return &it->second;
  }
  return nullptr;
}

std::shared_ptr<const LaunchPlan> PlanCache::find(PlanKey key, std::uint64_t hash) {
  {
    const std::shared_lock lock(mutex_);
    if (Entry* entry = look_up(key, hash)) {
      const PlanStamp now = PlanBudget::process().now();
      if (entry->used.load(std::memory_order_relaxed) < now)
        entry->used.store(now, std::memory_order_relaxed);
      hits_.fetch_add(1, std::memory_order_relaxed);
      return entry->plan;
    }
  }
  misses_.fetch_add(1, std::memory_order_relaxed);
  return nullptr;
}

std::shared_ptr<const LaunchPlan> PlanCache::insert(PlanKey key, std::uint64_t hash,
                                                    LaunchPlan plan) {
  // Besides the plan: the node of the map, its ticket, what shared_ptr counts with, a bucket, and what malloc needs.
  const std::size_t size = plan.bytes() + sizeof(Entries::value_type) + key.size_bytes() +
                           sizeof(PlanTicket) + 10 * sizeof(void*);
  auto shared = std::make_shared<const LaunchPlan>(std::move(plan));
  PlanBudget& budget = PlanBudget::process();
  const PlanStamp now = budget.next();
  {
    Dropped dropped;
    const std::unique_lock lock(mutex_);
    if (Entry* entry = look_up(key, hash)) return entry->plan;
    const auto at = entries_.emplace(std::piecewise_construct, std::forward_as_tuple(hash),
                                     std::forward_as_tuple(key, shared, size, now));
    bytes_ += size;
    budget.take(size);
    if (bytes_ > limit_bytes_) dropped = evict(&at->second);
  }
  budget.admit({now, now, hash, number_});
  return shared;
}

PlanCache::Entries::const_iterator PlanCache::position(const PlanTicket& ticket) const {
  auto [at, end] = entries_.equal_range(ticket.hash);
  while (at != end && at->second.made != ticket.made) ++at;
  return at == end ? entries_.end() : at;
}

bool PlanCache::holds(const PlanTicket& ticket) const {
  const std::shared_lock lock(mutex_);
  return position(ticket) != entries_.end();
}

std::optional<PlanStamp> PlanCache::drop(const PlanTicket& ticket) {
  Entries::node_type dropped;
  const std::unique_lock lock(mutex_);
  const auto at = position(ticket);
  if (at == entries_.end()) return std::nullopt;
  const PlanStamp used = at->second.used.load(std::memory_order_relaxed);
  if (used > ticket.used) return used;
  dropped = take_out(at);
  return std::nullopt;
}

PlanCache::Entries::node_type PlanCache::take_out(Entries::const_iterator at) {
  bytes_ -= at->second.bytes;
  PlanBudget::process().give_back(at->second.bytes, 1);
  ++evictions_;
  return entries_.extract(at);
}

// Frees an eighth more than it must, so that a full cache does not sort its entries at every new shape.
PlanCache::Dropped PlanCache::evict(const Entry* newest) {
  std::vector<std::pair<PlanStamp, Entries::iterator>> oldest;
  oldest.reserve(entries_.size());
  for (auto it = entries_.begin(); it != entries_.end(); ++it) {
    if (&it->second != newest)
      oldest.emplace_back(it->second.used.load(std::memory_order_relaxed), it);
  }
  std::ranges::sort(oldest, {}, [](const auto& one) { return one.first; });
  const std::size_t goal = limit_bytes_ - limit_bytes_ / 8;
  Dropped dropped;
  for (const auto& [used, at] : oldest) {
    if (bytes_ <= goal) break;
    dropped.push_back(take_out(at));
  }
  return dropped;
}

void PlanCache::clear() {
  Entries cleared;
  const std::unique_lock lock(mutex_);
  cleared.swap(entries_);
  PlanBudget::process().give_back(bytes_, cleared.size());
  bytes_ = 0;
}

CacheStatistics PlanCache::statistics() const {
  const std::shared_lock lock(mutex_);
  return {hits_.load(), misses_.load(), evictions_, entries_.size(), bytes_, limit_bytes_};
}

}  // namespace dvm

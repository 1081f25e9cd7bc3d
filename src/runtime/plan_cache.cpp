#include "runtime/plan_cache.h"

#include <algorithm>
#include <mutex>

namespace dvm {

std::uint64_t PlanCache::hash(PlanKey key) {
  std::uint64_t h = 0x9e3779b97f4a7c15u;
  for (const std::int64_t word : key) {
    h = (h ^ static_cast<std::uint64_t>(word)) * 0xff51afd7ed558ccdu;
    h ^= h >> 32;
  }
  return h;
}

PlanCache::Entry* PlanCache::look_up(PlanKey key, std::uint64_t hash) const {
  const auto [begin, end] = entries_.equal_range(hash);
  for (auto it = begin; it != end; ++it) {
    if (std::ranges::equal(it->second->key, key)) return it->second.get();
  }
  return nullptr;
}

std::shared_ptr<const LaunchPlan> PlanCache::find(PlanKey key, std::uint64_t hash) {
  {
    const std::shared_lock lock(mutex_);
    if (Entry* entry = look_up(key, hash)) {
      entry->used.store(clock_.fetch_add(1, std::memory_order_relaxed), std::memory_order_relaxed);
      hits_.fetch_add(1, std::memory_order_relaxed);
      return entry->plan;
    }
  }
  misses_.fetch_add(1, std::memory_order_relaxed);
  return nullptr;
}

std::shared_ptr<const LaunchPlan> PlanCache::insert(PlanKey key, std::uint64_t hash,
                                                    LaunchPlan plan) {
  const std::size_t size = plan.bytes() + sizeof(Entry) + key.size_bytes() + 4 * sizeof(void*);
  auto shared = std::make_shared<const LaunchPlan>(std::move(plan));
  const std::unique_lock lock(mutex_);
  if (Entry* entry = look_up(key, hash)) return entry->plan;
  auto entry = std::make_unique<Entry>();
  entry->key.assign(key.begin(), key.end());
  entry->plan = shared;
  entry->bytes = size;
  entry->used.store(clock_.fetch_add(1, std::memory_order_relaxed), std::memory_order_relaxed);
  const Entry* newest = entry.get();
  entries_.emplace(hash, std::move(entry));
  bytes_ += size;
  if (bytes_ > limit_bytes_) evict(newest);
  return shared;
}

// Frees an eighth more than it must, so that a full cache does not sort its entries at every new shape.
void PlanCache::evict(const Entry* newest) {
  std::vector<Entries::iterator> oldest;
  oldest.reserve(entries_.size());
  for (auto it = entries_.begin(); it != entries_.end(); ++it) {
    if (it->second.get() != newest) oldest.push_back(it);
  }
  std::ranges::sort(
      oldest, {}, [](const auto& it) { return it->second->used.load(std::memory_order_relaxed); });
  const std::size_t goal = limit_bytes_ - limit_bytes_ / 8;
  for (const auto& it : oldest) {
    if (bytes_ <= goal) return;
    bytes_ -= it->second->bytes;
    ++evictions_;
    entries_.erase(it);
  }
}

void PlanCache::clear() {
  const std::unique_lock lock(mutex_);
  entries_.clear();
  bytes_ = 0;
}

CacheStatistics PlanCache::statistics() const {
  const std::shared_lock lock(mutex_);
  return {hits_.load(), misses_.load(), evictions_, entries_.size(), bytes_, limit_bytes_};
}

}  // namespace dvm

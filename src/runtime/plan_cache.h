// The LaunchPlans of one Executable by input shapes, least recently used out first, bounded in bytes. A look-up
// takes a shared lock, so that threads that repeat shapes do not wait for each other.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <shared_mutex>
#include <span>
#include <unordered_map>
#include <vector>

#include "runtime/launch_plan.h"

namespace dvm {

/// Sizes and strides of all inputs, and what else a plan depends on, in a fixed order.
using PlanKey = std::span<const std::int64_t>;

struct CacheStatistics {
  std::uint64_t hits = 0, misses = 0, evictions = 0;
  std::size_t plans = 0, bytes = 0, limit_bytes = 0;
};

class PlanCache {
 public:
  explicit PlanCache(std::size_t limit_bytes) : limit_bytes_(limit_bytes) {}

  static std::uint64_t hash(PlanKey key);

  /// Nothing if there is no such plan.
  std::shared_ptr<const LaunchPlan> find(PlanKey key, std::uint64_t hash);
  /// Keeps `plan`, or the one that another thread has put there meanwhile; returns what it keeps. The newest plan
  /// stays even when it is larger than the whole cache may be.
  std::shared_ptr<const LaunchPlan> insert(PlanKey key, std::uint64_t hash, LaunchPlan plan);
  void clear();
  CacheStatistics statistics() const;

 private:
  struct Entry {
    std::vector<std::int64_t> key;
    std::shared_ptr<const LaunchPlan> plan;
    std::size_t bytes;
    std::atomic<std::uint64_t> used;
  };
  using Entries = std::unordered_multimap<std::uint64_t, std::unique_ptr<Entry>>;

  Entry* look_up(PlanKey key, std::uint64_t hash) const;
  void evict(const Entry* newest);

  const std::size_t limit_bytes_;
  mutable std::shared_mutex mutex_;
  Entries entries_;
  std::size_t bytes_ = 0;
  std::uint64_t evictions_ = 0;
  std::atomic<std::uint64_t> clock_{0}, hits_{0}, misses_{0};
};

}  // namespace dvm

// The LaunchPlans of one Executable by input shapes, least recently used out first, bounded in bytes: by a limit of its
// own, and with all other caches of the process by the PlanBudget (plan_budget.h). A look-up takes a shared lock of this
// cache alone, so that threads that repeat shapes do not wait for each other.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <shared_mutex>
#include <span>
#include <unordered_map>
#include <vector>

#include "runtime/launch_plan.h"
#include "runtime/plan_budget.h"

namespace dvm {

/// Sizes and strides of all inputs, and what else a plan depends on, in a fixed order.
using PlanKey = std::span<const std::int64_t>;

class PlanCache {
 public:
  explicit PlanCache(std::size_t limit_bytes);
  ~PlanCache();
  PlanCache(const PlanCache&) = delete;
  PlanCache& operator=(const PlanCache&) = delete;

  static std::uint64_t hash(PlanKey key);

  /// Nothing if there is no such plan.
  std::shared_ptr<const LaunchPlan> find(PlanKey key, std::uint64_t hash);
  /// Keeps `plan`, or the one that another thread has put there meanwhile; returns what it keeps. The newest plan
  /// stays even when it is larger than the whole cache may be.
  std::shared_ptr<const LaunchPlan> insert(PlanKey key, std::uint64_t hash, LaunchPlan plan);
  void clear();
  CacheStatistics statistics() const;

  /// For the PlanBudget: drops a plan; or if it was used after its ticket was written keeps it, and tells when.
  std::optional<PlanStamp> drop(const PlanTicket& ticket);
  /// For the PlanBudget.
  bool holds(const PlanTicket& ticket) const;

 private:
  struct Entry {
    Entry(PlanKey words, std::shared_ptr<const LaunchPlan> kept, std::size_t size, PlanStamp now)
        : key(words.begin(), words.end()),
          plan(std::move(kept)),
          bytes(size),
          made(now),
          used(now) {}
    std::vector<std::int64_t> key;
    std::shared_ptr<const LaunchPlan> plan;
    std::size_t bytes;
    PlanStamp made;
    std::atomic<PlanStamp> used;
  };
  using Entries = std::unordered_multimap<std::uint64_t, Entry>;
  using Dropped = std::vector<Entries::node_type>;  // to be freed when no lock is held

  Entry* look_up(PlanKey key, std::uint64_t hash);
  Entries::const_iterator position(const PlanTicket& ticket) const;
  Entries::node_type take_out(Entries::const_iterator at);
  Dropped evict(const Entry* newest);

  const std::size_t limit_bytes_;
  const std::uint64_t number_;  // in the PlanBudget
  mutable std::shared_mutex mutex_;
  Entries entries_;
  std::size_t bytes_ = 0;
  std::uint64_t evictions_ = 0;
  std::atomic<std::uint64_t> hits_{0}, misses_{0};
};

}  // namespace dvm

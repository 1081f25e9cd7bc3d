// PlanBudget: one bound for the plans of all Executables of the process. Each keeps its own in a PlanCache; the budget
// counts their bytes, and while the sum is beyond the bound it drops the plan that was used longest ago, whosever it is.
//
// Time is counted in plans made, so that finding a plan only reads the clock: plans that were found between the same two
// that were made are equally recent, and of those any may go first. Looking up takes no lock of the budget, and tells it
// nothing. The budget learns when a plan was used last when its turn to go comes.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace dvm {

class PlanCache;

struct CacheStatistics {
  std::uint64_t hits = 0, misses = 0, evictions = 0;
  std::size_t plans = 0, bytes = 0, limit_bytes = 0;
};

/// When a plan was used. Even where it was found, odd and unlike all others where it was made.
using PlanStamp = std::uint64_t;

/// A plan in a cache, as the budget knows it.
struct PlanTicket {
  PlanStamp used;  // or later
  PlanStamp made;
  std::uint64_t hash;   // of its key
  std::uint64_t cache;  // number of its cache
};

class PlanBudget {
 public:
  /// That of the process.
  static PlanBudget& process();
  /// The bound unless it is set: the bytes in the environment variable DVM_PLAN_BYTES, else 64 MiB.
  static std::size_t default_limit();

  PlanStamp now() const { return clock_.load(std::memory_order_relaxed); }
  /// For a plan that was just made; what is found later is more recent.
  PlanStamp next() { return clock_.fetch_add(2, std::memory_order_relaxed) + 1; }

  void take(std::size_t bytes) {
    bytes_.fetch_add(bytes, std::memory_order_relaxed);
    plans_.fetch_add(1, std::memory_order_relaxed);
  }
  void give_back(std::size_t bytes, std::size_t plans) {
    bytes_.fetch_sub(bytes, std::memory_order_relaxed);
    plans_.fetch_sub(plans, std::memory_order_relaxed);
  }
  /// For a plan that was taken: from now on it can be dropped, but others go first to make room for it. The caller holds
  /// no lock of a cache.
  void admit(const PlanTicket& newest);
  void set_limit(std::size_t bytes);

  /// Returns the number of the cache.
  std::uint64_t join(PlanCache& cache);
  /// For a cache that ends: the budget does not touch it any more, and remembers what it counted.
  void leave(std::uint64_t number);

  struct Totals {
    CacheStatistics plans;  // of all caches; hits, misses and evictions also of those that are gone
    std::size_t caches = 0;
  };
  Totals totals() const;

 private:
  bool is_over() const { return bytes_.load() > limit_.load(); }
  void push(const PlanTicket& ticket);
  PlanTicket pop();
  void drop_until(std::size_t tickets);
  void forget_stale();

  std::atomic<PlanStamp> clock_{0};
  std::atomic<std::size_t> bytes_{0}, plans_{0}, limit_{default_limit()};
  mutable std::mutex mutex_;  // taken before that of any cache
  std::unordered_map<std::uint64_t, PlanCache*> caches_;
  std::uint64_t last_cache_ = 0;
  std::vector<PlanTicket> tickets_;  // a heap, the least recently used on top; some plans are gone
  CacheStatistics gone_;
};

}  // namespace dvm

// Versions: a Graph fused anew for calls in which more holds of its sizes than is known of them. Fusion says which
// equalities would let it join more (its guards); the sizes of a call say which of them hold; each combination that
// occurs becomes a Flow of its own, once. BladeDISC (section 4.3) compiles such versions ahead and branches; fusing takes
// us microseconds, so that only those that are met are made.
#pragma once

#include <cstdint>
#include <list>
#include <mutex>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "runtime/flow.h"

namespace dvm {

/// Which guards of the base hold, one bit each.
using GuardMask = std::uint32_t;

class Versions {
 public:
  /// With `speculate` false there is the base alone.
  Versions(Graph graph, bool speculate);

  /// Fused from what is always known.
  const Flow& base() const { return versions_.front().flow; }
  /// The Flow for a call with these sizes. Thread-safe; stays valid as long as this object.
  const Flow& choose(std::span<const TensorView> inputs, std::span<const std::uint64_t> scalars);
  /// The Flow for calls in which the guards in `mask` hold; the base if they contradict what is known.
  const Flow& version(GuardMask mask);

  struct Version {
    Version(GuardMask holding, Graph graph) : mask(holding), flow(std::move(graph)) {}
    GuardMask mask;
    Flow flow;
  };
  /// How many Kernels there would be if the guards in `mask` held; makes no version.
  std::size_t kernels(GuardMask mask) const;

 private:
  GuardMask holding(const DimValues& values) const;
  std::optional<Graph> graph_where(GuardMask mask) const;

  bool speculate_;
  std::list<Version> versions_;  // only grows
  std::mutex mutex_;
};

}  // namespace dvm

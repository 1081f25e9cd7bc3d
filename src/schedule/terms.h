// What emission knows of a Kernel's terms once shapes are known: over which axes each varies, in which section it
// is computed, and which values of a long row are kept from one pass to the next instead of computed again.
#pragma once

#include <cstdint>
#include <vector>

#include "schedule/space.h"
#include "schedule/tile.h"

namespace dvm {

struct TermFacts {
  AxisMask mask = 0;  // axes of the Space
  Domain domain = Domain::kOne;
  bool once = true;     // does not vary over a reduced axis
  bool costly = false;  // it or an operand is kCostly
};

/// One pass over the chunks, or what is done before and after it.
struct Pass {
  SectionKind kind = SectionKind::kOnce;
  std::vector<std::int32_t> starts;  // reductions whose accumulators are set to the identity
  std::vector<std::int32_t> terms;   // to compute, in order
};

struct Passes {
  std::vector<TermFacts> facts;
  std::vector<Pass> list;
  std::vector<std::int32_t> kept;  // terms that go to kept scratch
};

Domain domain_of(AxisMask mask, const Tiling& tile);
Passes plan_passes(const Kernel& kernel, const Space& space, const Tiling& tile, bool streaming);

}  // namespace dvm

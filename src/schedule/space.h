// The iteration space of a Kernel for concrete shapes: axes of size 1 dropped, ordered by memory, and merged where
// every tensor allows it, so that a contiguous kernel of any rank is one long row.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "schedule/schedule.h"

namespace dvm {

using Strides = std::array<std::int64_t, kMaxAxes>;

/// What moves with the loops: tensors in bytes, positions (iota, argmax) in units.
struct Access {
  Strides strides{};
  std::int64_t bytes = 0;      // of one element; 0 for positions
  std::int64_t footprint = 0;  // elements that it visits
};

struct Space {
  std::vector<Axis> axes;      // outermost first; `block` is still 1
  std::vector<Access> inputs;  // as in the Kernel
  std::vector<Access> outputs;
  std::vector<Access>
      positions;  // one per kIota term in order, then the one that argmax counts with
  AxisMask reduced = 0;
  int loops = 0;       // how many axes are walked; those after them are indexed
  bool empty = false;  // no output has an element

  AxisMask all() const { return (1u << loops) - 1; }
  /// The points that the loops visit.
  std::int64_t elements() const {
    std::int64_t product = 1;
    for (int i = 0; i < loops; ++i) product *= axes[static_cast<std::size_t>(i)].extent;
    return product;
  }
};

Space collapse(const Kernel& kernel, const KernelShape& shape);

inline AxisMask mask_of(const Access& access) {
  AxisMask mask = 0;
  for (int i = 0; i < kMaxAxes; ++i) mask |= static_cast<AxisMask>(access.strides[i] != 0) << i;
  return mask;
}

}  // namespace dvm

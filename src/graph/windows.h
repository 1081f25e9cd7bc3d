// Windows: how those of a convolution move over its operand, one number per axis behind images and channels. A Node keeps
// them among its axes.
#pragma once

#include <vector>

#include "graph/graph.h"

namespace dvm {

/// The numbers of a kConvolve or kPool node.
Windows windows(const Node& node);

/// What such a node keeps.
std::vector<int> axes_of(const Windows& windows);

/// How many elements of an axis come out where `size` go in and a window has `taps` elements, in axis `axis`.
Dim convolved(Dims& dims, const Windows& windows, int axis, Dim size, Dim taps);

}  // namespace dvm

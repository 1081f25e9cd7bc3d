// From a group of Graph operations to a Kernel: loads for what it reads, a term for each operation, conversions
// between storage and compute types, outputs for what others need.
#pragma once

#include "fuse/grouping.h"
#include "fuse/kernel.h"

namespace dvm {

Kernel lower(const Graph& graph, const Grouping& grouping, int group);

/// Replaces pairs of terms by the superinstructions of the table (isa/elementwise.def) and drops what is unused.
void combine(Kernel& kernel);

}  // namespace dvm

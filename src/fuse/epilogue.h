// Epilogues: a Kernel that reads a matrix product which nothing else needs runs on its tiles while caches hold them, and
// the product itself is never written.
#pragma once

#include "fuse/fuse.h"
#include "fuse/grouping.h"

namespace dvm {

/// Joins steps of `fusion`: a matrix product moves to the step of the one Kernel that can finish it.
void attach_epilogues(const Graph& graph, const Grouping& grouping, Fusion& fusion);

/// The number of the input of `kernel` that is the product `value`, if it reads it as an epilogue does; else -1.
int epilogue_input(const Kernel& kernel, Value value);

}  // namespace dvm

// Repetition: a value that several Kernels read is stored once, or computed again by each of them. Which of the two is a
// matter of cost and not of the order in which grouping.cpp meets the readers: bytes that are moved against operations
// that are done more than once. docs/internals/fusion.md says how they are weighed.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "graph/graph.h"

namespace dvm {

struct Repetition {
  std::set<Value> copies;          // belong to the Kernels that read them, see Grouping
  std::vector<std::string> notes;  // what decided, for each value that might be copied
};

/// Gives each Kernel that reads a value a copy of it where that costs less than to store it.
Repetition repeat_cheap_values(Graph& graph);

}  // namespace dvm

// Splicing: a Trace becomes one Graph, in which each operation is a copy of its Template and sizes that were equal are
// one symbol. That Graph is then fused and run as any other.
#pragma once

#include <vector>

#include "eager/trace.h"

namespace dvm::eager {

/// The Graph that computes `wanted` from the tensors and numbers of a trace.
struct Spliced {
  Graph graph;
  std::vector<int> inputs;   // which of the trace's externals each input is
  std::vector<int> symbols;  // the first scalars are sizes that no input has: which of the trace's
  std::vector<int> numbers;  // the others: which of the trace's numbers
};

/// What nothing wanted needs is left out. `orders` are those of the results in memory.
Spliced splice(const Trace& trace, const std::vector<int>& wanted,
               const std::vector<MemoryOrder>& orders);

}  // namespace dvm::eager

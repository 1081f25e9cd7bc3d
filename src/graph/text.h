// The text form of a Graph: print(parse(text)) == text for everything print makes.
//
//   graph softmax(%x: f32[b, n]) {
//     %1 = max(%x, axes=[1]) : f32[b, 1]
//     %2 = sub(%x, %1) : f32[b, n]
//     ...
//     return %5
//   }
#pragma once

#include <string>

#include "graph/graph.h"

namespace dvm {

std::string print(const Graph& graph);
/// Throws std::invalid_argument "[graph text] line N: ..." for anything it cannot read.
Graph parse_graph(const std::string& text);

}  // namespace dvm

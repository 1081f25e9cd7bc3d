// The text form of a Graph: print(parse(text)) == text for everything print makes.
//
//   graph softmax {
//     %0 = input x : f32[b, n]
//     %1 = max(%0, axes=[1]) : f32[b, 1]
//     %2 = sub(%0, %1) : f32[b, n]
//     ...
//     return %5
//   }
#pragma once

#include <string>

#include "graph/graph.h"

namespace dvm {

std::string print(const Graph& graph);
/// `[b, n]`.
std::string shape_text(const Dims& dims, const std::vector<Dim>& shape);
/// `f32[b, n]`, the type of a value.
std::string type_text(const Graph& graph, const Node& node);
/// Throws std::invalid_argument "[graph text] line N: ..." for anything it cannot read.
Graph parse_graph(const std::string& text);

}  // namespace dvm

// Looking through views. Inside a Kernel a permute, an expand or a reshape that only adds and drops dimensions of
// size 1 is no operation at all: it renames axes. Any other reshape is *opaque* and bounds a Kernel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "graph/graph.h"

namespace dvm {

/// For each dimension of a value the loop axis that runs along it, -1 for a dimension of size 1, or kPicked for one
/// along which a gather picks elements.
using AxisMap = std::vector<int>;
inline constexpr int kPicked = -2;

/// One bit for each axis that some dimension runs along.
std::uint32_t mask_of(const AxisMap& axes);
/// Whether a node reads the operand in an order that only the data know.
bool picks_from(const Node& node, std::size_t operand);
/// Whether a Kernel computes a node: no view, no leaf, no memory.
bool computes(const Node& node);
bool is_view(const Node& node);
/// The dimensions of a value that are not 1.
std::vector<int> proper_dims(const Graph& graph, Value value);
/// Whether `value` is a view that a Kernel sees through.
bool is_transparent(const Graph& graph, Value value);
/// A 0-d number that every Kernel can hold for itself.
bool is_leaf(const Node& node);

struct Root {
  Value value;
  AxisMap axes;
};

/// The value behind the transparent views at `value`, with `axes` (of `value`) carried over to its dimensions.
Root look_through(const Graph& graph, Value value, AxisMap axes);

/// The axes of an operand that is broadcast to a result with the given axes.
AxisMap broadcast_axes(const Graph& graph, Value operand, const AxisMap& result);

}  // namespace dvm

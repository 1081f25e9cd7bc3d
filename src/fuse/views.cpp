#include "fuse/views.h"

#include <algorithm>

namespace dvm {

std::uint32_t mask_of(const AxisMap& axes) {
  std::uint32_t mask = 0;
  for (const int axis : axes) mask |= axis < 0 ? 0u : 1u << axis;
  return mask;
}

bool picks_from(const Node& node, std::size_t operand) {
  return node.kind == NodeKind::kGather && operand == 0;
}

std::vector<int> proper_dims(const Graph& graph, Value value) {
  const std::vector<Dim>& shape = graph.node(value).shape;
  std::vector<int> proper;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (!graph.dims().is_constant(shape[i], 1)) proper.push_back(static_cast<int>(i));
  }
  return proper;
}

bool computes(const Node& node) {
  return node.kind == NodeKind::kElementwise || node.kind == NodeKind::kCast ||
         node.kind == NodeKind::kReduce || node.kind == NodeKind::kIota ||
         node.kind == NodeKind::kGather;
}

bool is_view(const Node& node) {
  return node.kind == NodeKind::kPermute || node.kind == NodeKind::kExpand ||
         node.kind == NodeKind::kReshape || node.kind == NodeKind::kSlice;
}

bool is_transparent(const Graph& graph, Value value) {
  const Node& node = graph.node(value);
  if (node.kind == NodeKind::kSlice) return false;  // it starts elsewhere in memory
  if (node.kind != NodeKind::kReshape) return is_view(node);
  const Node& from = graph.node(node.operands[0]);
  const std::vector<int> a = proper_dims(graph, node.operands[0]);
  const std::vector<int> b = proper_dims(graph, value);
  return std::ranges::equal(
      a, b, [&](int i, int j) { return graph.facts().same(from.shape[i], node.shape[j]); });
}

bool is_leaf(const Node& node) {
  return node.kind == NodeKind::kConstant || node.kind == NodeKind::kScalar ||
         node.kind == NodeKind::kSize;
}

AxisMap broadcast_axes(const Graph& graph, Value operand, const AxisMap& result) {
  const std::vector<Dim>& shape = graph.node(operand).shape;
  AxisMap axes(shape.size(), -1);
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (!graph.dims().is_constant(shape[i], 1)) axes[i] = result[result.size() - shape.size() + i];
  }
  return axes;
}

Root look_through(const Graph& graph, Value value, AxisMap axes) {
  while (is_transparent(graph, value)) {
    const Node& node = graph.node(value);
    const Value from = node.operands[0];
    AxisMap next(graph.node(from).shape.size(), -1);
    if (node.kind == NodeKind::kPermute) {
      for (std::size_t i = 0; i < axes.size(); ++i) next[node.axes[i]] = axes[i];
    } else if (node.kind == NodeKind::kExpand) {
      next = broadcast_axes(graph, from, axes);
    } else {
      const std::vector<int> a = proper_dims(graph, from);
      const std::vector<int> b = proper_dims(graph, value);
      for (std::size_t i = 0; i < a.size(); ++i) next[a[i]] = axes[b[i]];
    }
    value = from;
    axes = std::move(next);
  }
  return {value, std::move(axes)};
}

}  // namespace dvm

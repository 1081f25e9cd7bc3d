#include "fuse/grouping.h"

#include <algorithm>
#include <utility>

namespace dvm {

Grouping::Grouping(const Graph& graph, std::set<Value> copies)
    : graph_(graph), copies_(std::move(copies)) {
  const std::size_t n = graph.nodes().size();
  group_.assign(n, kNone);
  axes_.resize(n);
  operand_axes_.resize(n);
  users_.resize(n);
  live_.assign(n, 0);
  output_.assign(n, 0);
  outside_.assign(n, 0);
  find_users();
  for (Value value = 0; value < static_cast<Value>(n); ++value) {
    if (!live_[value]) continue;
    const Node& node = graph.node(value);
    // A leaf that somebody needs as a tensor has to be written by a Kernel like everything else.
    if (!computes(node) && !(is_leaf(node) && outside_[value])) continue;
    start(value);
    absorb_producers(value);
  }
  join_siblings();
}

void Grouping::find_users() {
  for (const Value value : graph_.outputs()) live_[value] = output_[value] = 1;
  for (const Check& check : graph_.checks()) live_[check.condition] = output_[check.condition] = 1;
  for (Value value = static_cast<Value>(graph_.nodes().size()) - 1; value >= 0; --value) {
    const Node& node = graph_.node(value);
    if (!live_[value]) continue;
    for (const Value operand : node.operands) live_[operand] = 1;
  }
  for (Value value = 0; value < static_cast<Value>(graph_.nodes().size()); ++value) {
    if (!live_[value]) continue;
    const Node& node = graph_.node(value);
    const bool transparent = is_transparent(graph_, value);
    if (output_[value]) outside_[look_through(graph_, value, AxisMap(node.shape.size())).value] = 1;
    if (transparent) continue;
    for (std::size_t i = 0; i < node.operands.size(); ++i) {
      const Value operand = node.operands[i];
      const Value root =
          look_through(graph_, operand, AxisMap(graph_.node(operand).shape.size())).value;
      users_[root].push_back(value);
      if (!computes(node) || picks_from(node, i)) outside_[root] = 1;
    }
  }
}

void Grouping::start(Value value) {
  const Node& node = graph_.node(value);
  Group group;
  group.members = {value};
  const std::vector<Dim>& space =
      node.kind == NodeKind::kReduce ? graph_.node(node.operands[0]).shape : node.shape;
  AxisMap axes;
  for (const Dim dim : space) {
    const bool unit = graph_.dims().is_constant(dim, 1);
    axes.push_back(unit ? -1 : static_cast<int>(group.axes.size()));
    if (!unit) group.axes.push_back(dim);
  }
  if (node.kind == NodeKind::kReduce) {
    operand_axes_[value] = axes;
    for (const int axis : node.axes) {
      if (axes[axis] >= 0) group.reduced |= 1u << axes[axis];
      axes[axis] = -1;
    }
  }
  axes_[value] = std::move(axes);
  group_[value] = static_cast<int>(groups_.size());
  for (const Root& root : reads(value)) {
    if (!is_leaf(graph_.node(root.value))) group.tensors.push_back(root.value);
  }
  std::ranges::sort(group.tensors);
  const auto repeated = std::ranges::unique(group.tensors);
  group.tensors.erase(repeated.begin(), repeated.end());
  group.gathers = node.kind == NodeKind::kGather ? 1 : 0;
  groups_.push_back(std::move(group));
}

AxisMap Grouping::operand_map(Value member, std::size_t operand, const AxisMap& axes,
                              const AxisMap& operand_axes) const {
  const Node& node = graph_.node(member);
  if (node.kind == NodeKind::kReduce) return operand_axes;
  AxisMap map = broadcast_axes(graph_, node.operands[operand], axes);
  if (picks_from(node, operand)) {
    const Dim dim = graph_.node(node.operands[operand]).shape[node.axes[0]];
    map[node.axes[0]] = graph_.dims().is_constant(dim, 1) ? -1 : kPicked;
  }
  return map;
}

std::vector<Root> Grouping::reads(Value member) const {
  std::vector<Root> roots;
  const std::vector<Value>& operands = graph_.node(member).operands;
  for (std::size_t i = 0; i < operands.size(); ++i) {
    roots.push_back(look_through(graph_, operands[i],
                                 operand_map(member, i, axes_[member], operand_axes_[member])));
  }
  return roots;
}

void Grouping::absorb_producers(Value value) {
  const std::size_t count = graph_.node(value).operands.size();
  for (std::size_t i = 0; i < count; ++i) {
    if (picks_from(graph_.node(value), i)) continue;
    const Root root = reads(value)[i];
    if (copies_.contains(value) && !copies_.contains(root.value)) continue;
    const int producer = group_[root.value];
    const int consumer = group_[value];
    if (producer == kNone || producer == consumer || is_leaf(graph_.node(root.value))) continue;
    std::vector<std::pair<int, int>> pairs;
    for (std::size_t d = 0; d < root.axes.size(); ++d) {
      if (root.axes[d] >= 0 && axes_[root.value][d] >= 0)
        pairs.emplace_back(axes_[root.value][d], root.axes[d]);
    }
    merge(producer, consumer, pairs, value);
  }
}

// Two groups that read one tensor in the same way, the one not needing the other, read it once.
void Grouping::join_siblings() {
  std::vector<std::vector<std::pair<Value, AxisMap>>> readers(graph_.nodes().size());
  for (const int index : live_groups()) {
    for (const Value member : std::vector<Value>(groups_[index].members)) {
      for (Root& root : reads(member)) {
        if (group_[root.value] == kNone && !is_leaf(graph_.node(root.value))) {
          readers[root.value].emplace_back(member, std::move(root.axes));
        }
      }
    }
  }
  for (const auto& list : readers) {
    for (std::size_t i = 1; i < list.size(); ++i) {
      const int a = group_[list[0].first];
      const int b = group_[list[i].first];
      if (a == b) continue;
      // Earlier merges may have renamed axes: ask again.
      const auto axes_now = [&](Value member, Value tensor) {
        for (Root& root : reads(member)) {
          if (root.value == tensor) return root.axes;
        }
        return AxisMap();
      };
      const Value tensor = static_cast<Value>(&list - readers.data());
      const AxisMap x = axes_now(list[0].first, tensor);
      const AxisMap y = axes_now(list[i].first, tensor);
      const std::uint32_t all_a = (1u << groups_[a].axes.size()) - 1;
      const std::uint32_t all_b = (1u << groups_[b].axes.size()) - 1;
      // Only groups of the very same space: sharing a bias is no reason to share loops.
      if (mask_of(x) != all_a || mask_of(y) != all_b ||
          groups_[a].axes.size() != groups_[b].axes.size())
        continue;
      std::vector<std::pair<int, int>> pairs;
      for (std::size_t d = 0; d < x.size(); ++d) {
        if (x[d] >= 0 && y[d] >= 0) pairs.emplace_back(x[d], y[d]);
      }
      if (!path_outside(b, a)) merge(a, b, pairs, list[i].first);
    }
  }
}

bool Grouping::needed_outside(Value member) const {
  if (outside_[member]) return true;
  return std::ranges::any_of(users_[member],
                             [&](Value user) { return group_[user] != group_[member]; });
}

std::vector<int> Grouping::live_groups() const {
  std::vector<int> order;
  for (std::size_t i = 0; i < groups_.size(); ++i) {
    if (!groups_[i].members.empty()) order.push_back(static_cast<int>(i));
  }
  std::ranges::sort(order, {}, [&](int group) { return groups_[group].members.front(); });
  return order;
}

}  // namespace dvm

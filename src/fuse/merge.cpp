// Merging of two groups: whether they may share loops, and what the group of both is. grouping.cpp says which pairs are
// tried.
#include <algorithm>
#include <iterator>
#include <utility>

#include "fuse/grouping.h"

namespace dvm {
namespace {

constexpr std::size_t kMaxMembers = 192;  // a Program names at most 1024 slots
constexpr std::size_t kMaxInputs = 64;
constexpr std::size_t kMaxGuards = 6;
constexpr int kMaxSearch = 2000;  // values that a search for a path looks at

AxisMap remap(const AxisMap& axes, const std::vector<int>& to) {
  AxisMap mapped(axes.size());
  for (std::size_t i = 0; i < axes.size(); ++i) mapped[i] = axes[i] < 0 ? axes[i] : to[axes[i]];
  return mapped;
}

bool ascending(const AxisMap& axes, std::uint32_t mask) {
  int last = -1;
  for (const int axis : axes) {
    if (axis < 0 || !(mask >> axis & 1)) continue;
    if (axis < last) return false;
    last = axis;
  }
  return true;
}

}  // namespace

bool is_cheap(const Node& node) {
  if (node.kind == NodeKind::kElementwise) return (info(node.op).properties & kCostly) == 0;
  return node.kind == NodeKind::kCast || node.kind == NodeKind::kIota;
}

bool Grouping::identify_axes(const Group& a, const Group& b, std::vector<int>& b_to_a) {
  std::uint32_t used = 0;
  for (const int axis : b_to_a) used |= axis < 0 ? 0u : 1u << axis;
  std::vector<int> rest_a, rest_b;
  for (std::size_t i = 0; i < a.axes.size(); ++i) {
    if (!(used >> i & 1)) rest_a.push_back(static_cast<int>(i));
  }
  for (std::size_t i = 0; i < b.axes.size(); ++i) {
    if (b_to_a[i] < 0) rest_b.push_back(static_cast<int>(i));
  }
  // What one side lacks it merely does not vary over. What both have of their own must run together: the reduced
  // axes of softmax's maximum and the axes along which its consumer broadcasts it.
  if (rest_a.empty() || rest_b.empty()) return true;
  if (rest_a.size() != rest_b.size()) return false;
  std::vector<std::pair<Dim, Dim>> unknown;
  for (std::size_t i = 0; i < rest_a.size(); ++i) {
    const Dim x = a.axes[rest_a[i]], y = b.axes[rest_b[i]];
    if (!graph_.facts().same(x, y)) unknown.emplace_back(x, y);
    b_to_a[rest_b[i]] = rest_a[i];
  }
  guard(unknown);
  return unknown.empty();
}

void Grouping::guard(const std::vector<std::pair<Dim, Dim>>& equal) {
  const auto possible = [&](const std::pair<Dim, Dim>& pair) {
    const Range a = graph_.facts().range(pair.first), b = graph_.facts().range(pair.second);
    return a.low <= b.high && b.low <= a.high;
  };
  if (!std::ranges::all_of(equal, possible)) return;
  for (const auto& [a, b] : equal) {
    const Guard guard{std::min(a, b), std::max(a, b)};
    if (std::ranges::find(guards_, guard) == guards_.end() && guards_.size() < kMaxGuards)
      guards_.push_back(guard);
  }
}

void Grouping::refuse(int a, int b, Value at, const char* why) {
  const auto name = [&](int group) {
    const Node& node = graph_.node(groups_[group].members.back());
    return std::string(node.op == Op::kCount ? "cast" : info(node.op).name) + " %" +
           std::to_string(groups_[group].members.back());
  };
  notes_.push_back(name(a) + " and " + name(b) + " (at %" + std::to_string(at) +
                   ") stay apart: " + why);
}

bool Grouping::merge(int a, int b, const std::vector<std::pair<int, int>>& pairs, Value at) {
  const Group& x = groups_[a];
  const Group& y = groups_[b];
  if (x.members.size() + y.members.size() > kMaxMembers)
    return refuse(a, b, at, "the kernel would be too large"), false;

  std::vector<int> b_to_a(y.axes.size(), -1);
  std::vector<int> a_to_b(x.axes.size(), -1);
  for (const auto& [i, j] : pairs) {
    if ((b_to_a[j] != -1 && b_to_a[j] != i) || (a_to_b[i] != -1 && a_to_b[i] != j)) {
      return refuse(a, b, at, "one runs along an axis that the other needs twice"), false;
    }
    b_to_a[j] = i;
    a_to_b[i] = j;
  }
  if (!identify_axes(x, y, b_to_a))
    return refuse(a, b, at, "their loops have axes that cannot be identified"), false;

  Merge merge{a, b, std::move(b_to_a), false, {}};
  Group& merged = merge.merged;
  merged.axes = x.axes;
  for (std::size_t i = 0; i < y.axes.size(); ++i) {
    if (merge.b_to_a[i] < 0) {
      merge.b_to_a[i] = static_cast<int>(merged.axes.size());
      merged.axes.push_back(y.axes[i]);
    }
    merge.renames_b = merge.renames_b || merge.b_to_a[i] != static_cast<int>(i);
  }
  merged.gathers = x.gathers + y.gathers;
  if (merged.axes.size() + merged.gathers > kMaxAxes)
    return refuse(a, b, at, "too many axes"), false;
  if (!worth_recomputing(a, x.axes.size(), merged.axes.size())) {
    return refuse(a, b, at, "the producer would be computed again along the broadcast axes"), false;
  }
  std::uint32_t reduced_y = 0;
  for (std::size_t i = 0; i < y.axes.size(); ++i)
    reduced_y |= (y.reduced >> i & 1) << merge.b_to_a[i];
  if (x.reduced && reduced_y && x.reduced != reduced_y)
    return refuse(a, b, at, "they reduce over different axes"), false;
  merged.reduced = x.reduced | reduced_y;
  std::ranges::set_union(x.tensors, y.tensors, std::back_inserter(merged.tensors));
  std::erase_if(merged.tensors,
                [&](Value value) { return group_[value] == a || group_[value] == b; });
  if (merged.tensors.size() > kMaxInputs || !consistent(merge)) {
    return refuse(a, b, at,
                  "a value would be needed in two orders, or stored from loops that repeat it"),
           false;
  }
  if (path_outside(a, b)) return refuse(a, b, at, "something outside runs between them"), false;

  std::ranges::merge(x.members, y.members, std::back_inserter(merged.members));
  if (merge.renames_b) {
    for (const Value member : y.members) {
      axes_[member] = remap(axes_[member], merge.b_to_a);
      operand_axes_[member] = remap(operand_axes_[member], merge.b_to_a);
    }
  }
  for (const Value member : x.members) group_[member] = b;
  groups_[b] = std::move(merged);
  groups_[a] = {};
  return true;
}

// A producer with fewer axes than the loops it joins is computed again for each step of the others.
bool Grouping::worth_recomputing(int a, std::size_t axes_before, std::size_t axes_after) const {
  if (axes_after == axes_before) return true;
  int ops = 0;
  for (const Value member : groups_[a].members) {
    const Node& node = graph_.node(member);
    if (node.kind == NodeKind::kReduce) return false;
    if (node.kind == NodeKind::kElementwise && (info(node.op).properties & kCostly)) return false;
    ++ops;
  }
  return ops <= kMaxCheapOps;
}

// Members of a side whose loops stay the same still fit, but for what passes between the sides. So only sides that
// change are looked at, or the smaller one: a long chain costs each member a few looks and not one at every merge.
bool Grouping::consistent(const Merge& merge) const {
  const Group &x = groups_[merge.a], &y = groups_[merge.b], &merged = merge.merged;
  bool scan_a = merged.axes.size() != x.axes.size() || merged.reduced != x.reduced;
  bool scan_b =
      merge.renames_b || merged.axes.size() != y.axes.size() || merged.reduced != y.reduced;
  if (!scan_a && !scan_b) (x.members.size() < y.members.size() ? scan_a : scan_b) = true;
  const auto scan = [&](const Group& side, int other) {
    return std::ranges::all_of(side.members, [&](Value member) {
      return fits(merge, member) && std::ranges::all_of(users_[member], [&](Value user) {
               return group_[user] != other || reads_fit(merge, user);
             });
    });
  };
  return (!scan_a || scan(x, merge.b)) && (!scan_b || scan(y, merge.a));
}

AxisMap Grouping::renamed(const Merge& merge, Value member, const AxisMap& axes) const {
  return merge.renames_b && group_[member] == merge.b ? remap(axes, merge.b_to_a) : axes;
}

// Whether the merged loops can compute a member, and store it if others need it.
bool Grouping::fits(const Merge& merge, Value member) const {
  const std::uint32_t all = (1u << merge.merged.axes.size()) - 1;
  const std::uint32_t reduced = merge.merged.reduced;
  const std::uint32_t parallel = all & ~reduced;
  bool outside = outside_[member];
  for (const Value user : users_[member])
    outside = outside || (group_[user] != merge.a && group_[user] != merge.b);
  const std::uint32_t mask = mask_of(renamed(merge, member, axes_[member]));
  if (outside && ((mask & parallel) != parallel || ((mask & reduced) && mask != all))) return false;
  if (graph_.node(member).kind == NodeKind::kReduce) {
    const AxisMap axes = renamed(merge, member, operand_axes_[member]);
    // It would be counted once per step of a missing axis.
    if ((mask_of(axes) & reduced) != reduced) return false;
    // argmax counts along the reduced axes in the order of the loops.
    const Op op = graph_.node(member).op;
    if ((op == Op::argmax || op == Op::argmin) && !ascending(axes, reduced)) return false;
  }
  return reads_fit(merge, member);
}

// Whether a member finds each value that the merged loops compute where it needs it.
bool Grouping::reads_fit(const Merge& merge, Value member) const {
  const AxisMap axes = renamed(merge, member, axes_[member]);
  const AxisMap operand_axes = renamed(merge, member, operand_axes_[member]);
  const std::vector<Value>& operands = graph_.node(member).operands;
  for (std::size_t k = 0; k < operands.size(); ++k) {
    const Root root = look_through(graph_, operands[k], operand_map(member, k, axes, operand_axes));
    if (group_[root.value] != merge.a && group_[root.value] != merge.b) continue;
    if (picks_from(graph_.node(member), k)) return false;
    if (root.axes != renamed(merge, root.value, axes_[root.value])) return false;
  }
  return true;
}

// Whether a path leads from group `from` to group `to` through something that is in neither. Yes, too, when the two
// are so far apart that it would take long to say: a graph's costs grow with its length, not with its square.
bool Grouping::path_outside(int from, int to) {
  const Value first = groups_[from].members.front();
  ++search_;
  seen_.resize(graph_.nodes().size(), 0);
  seen_group_.resize(groups_.size(), 0);
  std::vector<Value> stack;
  const auto push = [&](Value value) {
    if (std::exchange(seen_[value], search_) != search_) stack.push_back(value);
  };
  // Direct reads of `from` are what the merge is about; start one step further out.
  for (const Value tensor : groups_[to].tensors) {
    if (group_[tensor] != from && group_[tensor] != to) push(tensor);
  }
  for (int visits = 0; !stack.empty(); ++visits) {
    if (visits == kMaxSearch) return true;
    const Value value = stack.back();
    stack.pop_back();
    const int group = group_[value];
    if (group == from) return true;
    if (group == to) continue;
    if (group == kNone) {
      if (value > first) std::ranges::for_each(graph_.node(value).operands, push);
      continue;
    }
    if (std::exchange(seen_group_[group], search_) == search_) continue;
    if (groups_[group].members.back() < first) continue;
    std::ranges::for_each(groups_[group].tensors, push);
  }
  return false;
}

}  // namespace dvm

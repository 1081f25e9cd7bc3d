#include "fuse/parts.h"

#include <algorithm>
#include <utility>

#include "fuse/views.h"

namespace dvm {
namespace {

constexpr int kMaxDepth = 8;

// Whether a node is a step of its own, which takes its operands as they are.
bool stands_apart(const Node& node) {
  return node.kind == NodeKind::kMatmul || node.kind == NodeKind::kAttention ||
         node.kind == NodeKind::kConvolve || node.kind == NodeKind::kPool ||
         node.kind == NodeKind::kScan;
}

}  // namespace

DimParts::DimParts(Graph& graph) : graph_(graph) {
  for (const Node& node : graph.nodes()) {
    exists_.push_back(node.kind == NodeKind::kInput || stands_apart(node) ||
                      (is_view(node) && exists_[node.operands[0]] != 0));
    first_.push_back(static_cast<int>(dims_.size()));
    dims_.insert(dims_.end(), node.shape.begin(), node.shape.end());
  }
  for (std::size_t i = 0; i < dims_.size(); ++i) parent_.push_back(static_cast<int>(i));
  whole_.assign(dims_.size(), 0);
  children_.resize(dims_.size());
  size_.assign(dims_.size(), 1);
  for (Value value = 0; value < static_cast<Value>(graph.nodes().size()); ++value)
    run_along(graph.node(value), value);
  changes_.clear();
}

void DimParts::run_along(const Node& node, Value value) {
  const int rank = static_cast<int>(node.shape.size());
  if (stands_apart(node)) {
    for (const Value operand : node.operands) {
      for (std::size_t i = 0; i < graph_.node(operand).shape.size(); ++i)
        keep_whole(operand, static_cast<int>(i));
    }
  }
  if (exists(value)) return;
  const auto same_place = [&](Value operand, int but) {
    if (exists(operand)) return;
    for (int i = 0; i < rank; ++i) {
      if (i != but) (void)join(slot(value, i), slot(operand, i));
    }
  };
  const auto broadcast = [&](Value operand, int but) {
    if (exists(operand)) return;
    const int its = static_cast<int>(graph_.node(operand).shape.size());
    for (int i = 0; i < its; ++i) {
      const int mine = slot(value, rank - its + i);
      if (i != but && !is_one(slot(operand, i))) (void)join(mine, slot(operand, i));
    }
  };
  switch (node.kind) {
    case NodeKind::kElementwise:
    case NodeKind::kExpand:
      for (const Value operand : node.operands) broadcast(operand, -1);
      break;
    case NodeKind::kCast:
      same_place(node.operands[0], -1);
      break;
    case NodeKind::kReduce:
      same_place(node.operands[0], -1);
      if (result_type(node.op, Type::f32) == Type::i64) {  // a position along the whole axis
        for (const int axis : node.axes) keep_whole(node.operands[0], axis);
      }
      break;
    case NodeKind::kPermute:
      for (int i = 0; i < rank; ++i)
        (void)join(slot(value, i), slot(node.operands[0], node.axes[i]));
      break;
    case NodeKind::kSlice:
      same_place(node.operands[0], node.axes[0]);
      keep_whole(value, node.axes[0]);
      keep_whole(node.operands[0], node.axes[0]);
      break;
    case NodeKind::kGather:
      for (const Value operand : node.operands) {
        broadcast(operand, node.axes[0]);
        keep_whole(operand, node.axes[0]);
      }
      keep_whole(value, node.axes[0]);
      break;
    case NodeKind::kConcat:
      for (const Value operand : node.operands) {
        same_place(operand, node.axes[0]);
        keep_whole(operand, node.axes[0]);
      }
      keep_whole(value, node.axes[0]);
      break;
    case NodeKind::kIota:
      keep_whole(value, node.axes[0]);
      break;
    case NodeKind::kReshape: {
      if (!is_transparent(graph_, value)) break;
      const std::vector<int> a = proper_dims(graph_, node.operands[0]);
      const std::vector<int> b = proper_dims(graph_, value);
      for (std::size_t i = 0; i < a.size(); ++i)
        (void)join(slot(node.operands[0], a[i]), slot(value, b[i]));
      break;
    }
    default:
      break;
  }
}

int DimParts::find(int slot) const {
  while (parent_[slot] != slot) slot = parent_[slot];
  return slot;
}

void DimParts::undo(std::size_t changes) {
  while (changes_.size() > changes) {
    Change& last = changes_.back();
    if (last.joined >= 0) parent_[last.joined] = last.joined;
    dims_[last.slot] = last.dim;
    whole_[last.slot] = last.whole;
    children_[last.slot] = std::move(last.children);
    size_[last.slot] = last.size;
    changes_.pop_back();
  }
}

bool DimParts::is_one(int slot) const { return graph_.dims().is_constant(dims_[slot], 1); }

std::vector<int> DimParts::leaves(int slot) const {
  const int whole = find(slot);
  if (children_[whole].empty()) return {whole};
  std::vector<int> all;
  for (const int child : children_[whole]) {
    const std::vector<int> more = leaves(child);
    all.insert(all.end(), more.begin(), more.end());
  }
  return all;
}

std::vector<Dim> DimParts::parts(Value value, int dim) const {
  const int mine = slot(value, dim);
  std::vector<Dim> parts;
  const bool one = graph_.dims().is_constant(graph_.node(value).shape[dim], 1);
  for (const int leaf : leaves(mine))
    parts.push_back(one ? graph_.node(value).shape[dim] : dims_[leaf]);
  if (parts.size() == 1) parts[0] = graph_.node(value).shape[dim];
  return parts;
}

bool DimParts::splits(Value value) const {
  for (int i = 0; i < static_cast<int>(graph_.node(value).shape.size()); ++i) {
    if (count(value, i) > 1) return true;
  }
  return false;
}

bool DimParts::can_join(int a, int b, int depth) const {
  a = find(a), b = find(b);
  if (a == b) return true;
  if (depth == kMaxDepth) return false;
  if (!is_one(a) && !is_one(b) && !graph_.facts().same(dims_[a], dims_[b])) return false;
  const std::vector<int>&x = children_[a], &y = children_[b];
  if ((whole_[a] != 0 && !y.empty()) || (whole_[b] != 0 && !x.empty())) return false;
  if (x.empty() || y.empty()) return true;
  if (x.size() != y.size()) return false;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (!can_join(x[i], y[i], depth + 1)) return false;
  }
  return true;
}

bool DimParts::join(int a, int b) {
  if (!can_join(a, b, 0)) return false;
  a = find(a), b = find(b);
  if (a == b) return true;
  if (size_[a] < size_[b]) std::swap(a, b);
  changes_.push_back({a, b, dims_[a], whole_[a], children_[a], size_[a]});
  parent_[b] = a;
  size_[a] += size_[b];
  if (is_one(a)) dims_[a] = dims_[b];
  whole_[a] = static_cast<char>(whole_[a] | whole_[b]);
  if (children_[a].empty()) {
    children_[a] = children_[b];
    return true;
  }
  for (std::size_t i = 0; i < children_[b].size(); ++i) {
    if (!join(children_[a][i], children_[b][i])) return false;
  }
  return true;
}

bool DimParts::split(int whole, std::span<const int> into) {
  whole = find(whole);
  if (whole_[whole] != 0) return false;
  if (children_[whole].empty()) {
    changes_.push_back({whole, -1, dims_[whole], whole_[whole], {}, size_[whole]});
    children_[whole].assign(into.begin(), into.end());
    return true;
  }
  if (children_[whole].size() != into.size()) return false;
  for (std::size_t i = 0; i < into.size(); ++i) {
    if (!join(children_[whole][i], into[i])) return false;
  }
  return true;
}

// Cuts both sides at all places where one of them ends: [12, w] and [3, 4*w] are both [3, 4, w].
bool DimParts::match(const std::vector<int>& from, const std::vector<int>& to) {
  std::vector<std::vector<int>> from_parts(from.size()), to_parts(to.size());
  std::size_t i = 0, j = 0;
  int a = from.empty() ? -1 : from[0],
      b = to.empty() ? -1 : to[0];  // what is left of from[i] and to[j]
  while (i < from.size() && j < to.size()) {
    const Dim x = dims_[find(a)], y = dims_[find(b)];
    const bool same = graph_.facts().same(x, y);
    const Dim more = same ? -1 : quotient(x, y);
    const Dim less = same || more >= 0 ? -1 : quotient(y, x);
    if (!same && more < 0 && less < 0) return false;
    if (same && !join(a, b)) return false;
    const int part = more >= 0 ? b : a;
    from_parts[i].push_back(part);
    to_parts[j].push_back(part);
    if (more >= 0) {
      a = add_slot(more);
    } else if (++i < from.size()) {
      a = from[i];
    }
    if (less >= 0) {
      b = add_slot(less);
    } else if (++j < to.size()) {
      b = to[j];
    }
  }
  if (i < from.size() || j < to.size()) return false;
  const auto take = [&](int whole, const std::vector<int>& parts) {
    return parts.size() == 1 ? join(whole, parts[0]) : split(whole, parts);
  };
  for (i = 0; i < from.size(); ++i) {
    if (!take(from[i], from_parts[i])) return false;
  }
  for (j = 0; j < to.size(); ++j) {
    if (!take(to[j], to_parts[j])) return false;
  }
  return true;
}

Dim DimParts::quotient(Dim a, Dim b) {
  Dims& dims = graph_.dims();
  if (dims.is_constant(b, 0)) return -1;
  const Dim ratio = dims.binary(DimOp::kFloorDiv, a, b);
  return graph_.facts().same(dims.binary(DimOp::kMultiply, ratio, b), a) ? ratio : -1;
}

int DimParts::add_slot(Dim dim) {
  const int slot = static_cast<int>(dims_.size());
  dims_.push_back(dim);
  parent_.push_back(slot);
  whole_.push_back(0);
  children_.emplace_back();
  size_.push_back(1);
  return slot;
}

bool DimParts::dissolve(Value reshape) {
  const Value from = graph_.node(reshape).operands[0];
  const std::vector<int> a = proper_dims(graph_, from), b = proper_dims(graph_, reshape);
  std::vector<Dim> before, after;
  for (const int i : a) before.push_back(graph_.node(from).shape[i]);
  for (const int i : b) after.push_back(graph_.node(reshape).shape[i]);
  const std::size_t begun = changes_.size();
  for (const DimGroup& group : graph_.facts().groups(before, after)) {
    std::vector<int> x, y;
    for (int i = group.from_begin; i < group.from_end; ++i) x.push_back(slot(from, a[i]));
    for (int i = group.to_begin; i < group.to_end; ++i) y.push_back(slot(reshape, b[i]));
    const bool done = x.size() == 1 && y.size() == 1  ? join(x[0], y[0])
                      : x.size() == 1 && y.size() > 1 ? split(x[0], y)
                      : y.size() == 1 && x.size() > 1 ? split(y[0], x)
                                                      : match(x, y);
    if (!done) {
      undo(begun);
      return false;
    }
  }
  return true;
}

}  // namespace dvm

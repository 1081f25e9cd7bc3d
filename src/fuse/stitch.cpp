#include "fuse/stitch.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "fuse/parts.h"
#include "fuse/views.h"
#include "graph/remake.h"
#include "isa/program.h"

namespace dvm {
namespace {

// Whether a value follows element by element from a product that was reshaped: in the product's own shape its tiles could
// be finished with it.
std::vector<char> follow_from_products(const Graph& graph) {
  std::vector<char> follows;
  for (const Node& node : graph.nodes()) {
    bool found = false;
    if (node.kind == NodeKind::kReshape) {
      Value root = node.operands[0];
      while (is_view(graph.node(root))) root = graph.node(root).operands[0];
      const NodeKind of = graph.node(root).kind;
      found = of == NodeKind::kMatmul || of == NodeKind::kConvolve;
    }
    if (is_view(node) || node.kind == NodeKind::kElementwise || node.kind == NodeKind::kCast) {
      for (const Value operand : node.operands) found = found || follows[operand] != 0;
    }
    follows.push_back(found ? 1 : 0);
  }
  return follows;
}

// Reshapes that lie between operations, where a kernel would be cut, or behind what could finish the tiles of a product.
std::vector<Value> reshapes_between_operations(const Graph& graph) {
  const Value count = static_cast<Value>(graph.nodes().size());
  const std::vector<char> follows = follow_from_products(graph);
  std::vector<char> is_read(count, 0);  // by an operation, or by views that are
  for (const Value output : graph.outputs()) is_read[output] = follows[output];
  for (Value value = count - 1; value >= 0; --value) {
    const Node& node = graph.node(value);
    const bool reads = computes(node) || (is_view(node) && is_read[value] != 0);
    for (const Value operand : node.operands) {
      if (reads || (!is_view(node) && follows[operand] != 0)) is_read[operand] = 1;
    }
  }
  std::vector<Value> found;
  for (Value value = 0; value < count; ++value) {
    if (graph.node(value).kind != NodeKind::kReshape || is_transparent(graph, value)) continue;
    Value root = value;
    while (is_view(graph.node(root))) root = graph.node(root).operands[0];
    if (is_read[value] && computes(graph.node(root))) found.push_back(value);
  }
  return found;
}

bool fits(const Graph& graph, const DimParts& parts) {
  for (Value value = 0; value < static_cast<Value>(graph.nodes().size()); ++value) {
    int rank = 0;
    for (int i = 0; i < static_cast<int>(graph.node(value).shape.size()); ++i)
      rank += parts.count(value, i);
    if (rank > kMaxAxes && parts.splits(value)) return false;
  }
  return true;
}

// Writes the Graph anew, with every value's dimensions in their parts.
class Rewriting {
 public:
  Rewriting(const Graph& graph, const DimParts& parts)
      : graph_(graph), parts_(parts), made_(graph.name(), graph.facts()) {}

  Graph run() {
    for (Value value = 0; value < static_cast<Value>(graph_.nodes().size()); ++value)
      now_.push_back(rewrite(value, graph_.node(value)));
    for (std::size_t i = 0; i < graph_.outputs().size(); ++i) {
      const Value value = graph_.outputs()[i];
      made_.output(reshaped(now_[value], graph_.node(value).shape), graph_.orders()[i]);
    }
    for (const Check& check : graph_.checks()) made_.check(now_[check.condition], check.message);
    return std::move(made_);
  }

 private:
  std::vector<Dim> shape(Value value) const {
    std::vector<Dim> all;
    for (int i = 0; i < static_cast<int>(graph_.node(value).shape.size()); ++i) {
      const std::vector<Dim> parts = parts_.parts(value, i);
      all.insert(all.end(), parts.begin(), parts.end());
    }
    return all;
  }

  // There and back again is nothing: a product whose rows were one axis for its neighbours has its epilogue.
  Value reshaped(Value made, const std::vector<Dim>& wanted) {
    for (Value before = made;; before = made_.node(before).operands[0]) {
      if (made_.node(before).shape == wanted) return before;
      if (made_.node(before).kind != NodeKind::kReshape) return made_.reshape(made, wanted);
    }
  }

  // Where the parts of dimension `dim` of `value` begin.
  int place(Value value, int dim) const {
    int at = 0;
    for (int i = 0; i < dim; ++i) at += parts_.count(value, i);
    return at;
  }

  // An operand whose dimensions stand beside those of `value`, the last ones last, in the same parts; of size 1 they take
  // as many places. Dimension `whole` of `value` is an axis that the operation needs as it is.
  Value beside(Value operand, Value value, int whole = -1) {
    const int its = static_cast<int>(graph_.node(operand).shape.size());
    const int rank = static_cast<int>(graph_.node(value).shape.size());
    std::vector<Dim> wanted;
    for (int i = 0; i < its; ++i) {
      const Dim dim = graph_.node(operand).shape[i];
      const int mine = rank - its + i;
      std::vector<Dim> parts = parts_.parts(value, mine);
      if (mine == whole || graph_.dims().is_constant(dim, 1)) parts.assign(parts.size(), dim);
      wanted.insert(wanted.end(), parts.begin(), parts.end());
    }
    return reshaped(now_[operand], wanted);
  }

  // A tensor that exists stays as it is; whoever reads it takes a view.
  Value rewrite(Value value, const Node& node) {
    const Value first = node.operands.empty() ? -1 : node.operands[0];
    switch (node.kind) {
      case NodeKind::kInput:
        return made_.input(node.name, node.type, node.shape, node.is_weight);
      case NodeKind::kScalar:
        return made_.scalar(node.name, node.type);
      case NodeKind::kConstant:
        return made_.constant_bits(node.bits, node.type);
      case NodeKind::kSize:
        return made_.size(node.dim, node.type);
      case NodeKind::kIota:
        return made_.iota(shape(value), place(value, node.axes[0]));
      case NodeKind::kElementwise: {
        std::vector<Value> operands;
        for (const Value operand : node.operands) operands.push_back(beside(operand, value));
        return made_.elementwise(node.op, std::move(operands));
      }
      case NodeKind::kCast:
        return made_.cast(beside(first, value), node.type);
      case NodeKind::kReduce:
        return reduce(value, node);
      case NodeKind::kPermute:
        return permute(value, node);
      case NodeKind::kExpand:
        return made_.expand(beside(first, value), shape(value));
      case NodeKind::kReshape:
        return reshaped(now_[first], shape(value));
      case NodeKind::kSlice:
        return made_.slice(now_[first], place(value, node.axes[0]), node.dim,
                           node.shape[node.axes[0]], node.axes[1]);
      case NodeKind::kGather: {
        const int axis = node.axes[0];
        return made_.gather(beside(first, value, axis), beside(node.operands[1], value, axis),
                            place(value, axis));
      }
      case NodeKind::kAttention:
      case NodeKind::kMatmul:
      case NodeKind::kConvolve:
      case NodeKind::kPool:
      case NodeKind::kScan: {
        std::vector<Value> operands;
        for (const Value operand : node.operands)
          operands.push_back(reshaped(now_[operand], graph_.node(operand).shape));
        return Remaking(graph_, made_).remake(value, operands);
      }
      case NodeKind::kConcat: {
        std::vector<Value> operands;
        for (const Value operand : node.operands)
          operands.push_back(beside(operand, value, node.axes[0]));
        return made_.concat(std::move(operands), place(value, node.axes[0]));
      }
    }
    return -1;
  }

  Value reduce(Value value, const Node& node) {
    const Value from = node.operands[0];
    std::vector<Dim> wanted;
    std::vector<int> axes;
    for (int i = 0; i < static_cast<int>(node.shape.size()); ++i) {
      const bool reduced = std::ranges::find(node.axes, i) != node.axes.end();
      const std::vector<Dim> parts = reduced ? parts_.parts(from, i) : parts_.parts(value, i);
      for (const Dim part : parts) {
        if (reduced) axes.push_back(static_cast<int>(wanted.size()));
        wanted.push_back(part);
      }
    }
    return reshaped(made_.reduce(node.op, reshaped(now_[from], wanted), axes), shape(value));
  }

  Value permute(Value value, const Node& node) {
    const Value from = node.operands[0];
    std::vector<int> axes;
    for (const int axis : node.axes) {
      for (int i = 0; i < parts_.count(from, axis); ++i) axes.push_back(place(from, axis) + i);
    }
    return reshaped(made_.permute(now_[from], std::move(axes)), shape(value));
  }

  const Graph& graph_;
  const DimParts& parts_;
  Graph made_;
  std::vector<Value> now_;  // by value of the old Graph
};

}  // namespace

Graph stitch(Graph graph) {
  const std::vector<Value> reshapes = reshapes_between_operations(graph);
  if (reshapes.empty()) return graph;
  DimParts parts(graph);
  bool any = false;
  for (const Value reshape : reshapes) any = parts.dissolve(reshape) || any;
  if (!any || !fits(graph, parts)) return graph;
  return Rewriting(graph, parts).run();
}

}  // namespace dvm

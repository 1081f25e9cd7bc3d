#include "runtime/segment.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>

namespace dvm {
namespace {

bool is_view(const Node& node) {
  return node.kind == NodeKind::kPermute || node.kind == NodeKind::kExpand ||
         node.kind == NodeKind::kReshape;
}

// Made from nothing, so cheaper to make again than to pass on.
bool is_source(const Node& node) {
  return node.kind == NodeKind::kConstant || node.kind == NodeKind::kScalar ||
         node.kind == NodeKind::kSize || node.kind == NodeKind::kIota;
}

bool is_computed(const Node& node) {
  return node.kind == NodeKind::kElementwise || node.kind == NodeKind::kCast ||
         node.kind == NodeKind::kReduce;
}

// Copies what one subgraph computes, operands first.
class Cloner {
 public:
  Cloner(const Graph& from, const std::vector<int>& levels, int level, Segment& to)
      : from_(from), levels_(levels), level_(level), to_(to), copies_(from.nodes().size(), -1) {
    to_.graph = Graph(from.name() + "_" + std::to_string(level));
  }

  void output(Value value) {
    to_.graph.output(clone(value));
    to_.outputs.push_back(value);
  }

  // Symbols that no input has as a dimension of its own come in as numbers.
  void finish() {
    Graph& graph = to_.graph;
    std::set<std::string> bound;
    for (const Value input : graph.inputs()) {
      for (const Dim dim : graph.node(input).shape) bound.insert(graph.dims().text(dim));
    }
    for (const Value scalar : graph.scalars()) bound.insert(graph.node(scalar).name);
    for (Dim dim = 0; dim < static_cast<Dim>(graph.dims().size()); ++dim) {
      const Dims::Node& node = graph.dims().node(dim);
      if (node.op != DimOp::kSymbol || !graph.dims().same(dim, graph.dims().find(dim))) continue;
      if (graph.dims().find(dim) != dim || !bound.insert(node.name).second) continue;
      const std::string name = node.name;
      graph.scalar(name, Type::i64);
      to_.inputs.push_back(source_of_symbol(name));
    }
  }

 private:
  Value clone(Value value) {
    if (copies_[value] < 0) copies_[value] = make(value);
    return copies_[value];
  }

  std::vector<Dim> shape(const std::vector<Dim>& dims) {
    std::vector<Dim> copied;
    for (const Dim dim : dims) copied.push_back(to_.graph.dims().parse(from_.dims().text(dim)));
    return copied;
  }

  Value make(Value value) {
    const Node& node = from_.node(value);
    Graph& graph = to_.graph;
    if (node.kind == NodeKind::kScalar) {
      to_.inputs.push_back({value, -1});
      return graph.scalar(node.name, node.type);
    }
    const bool here =
        is_source(node) || is_view(node) || (is_computed(node) && levels_[value] == level_);
    if (!here) {
      to_.inputs.push_back({value, -1});
      return graph.input(node.kind == NodeKind::kInput ? node.name : "v" + std::to_string(value),
                         node.type, shape(node.shape));
    }
    std::vector<Value> operands;
    for (const Value operand : node.operands) operands.push_back(clone(operand));
    switch (node.kind) {
      case NodeKind::kConstant:
        return graph.constant_bits(node.bits, node.type);
      case NodeKind::kSize:
        return graph.size(shape({node.dim})[0], node.type);
      case NodeKind::kIota:
        return graph.iota(shape(node.shape), node.axes[0]);
      case NodeKind::kElementwise:
        return graph.elementwise(node.op, std::move(operands));
      case NodeKind::kCast:
        return graph.cast(operands[0], node.type);
      case NodeKind::kReduce:
        return graph.reduce(node.op, operands[0], node.axes);
      case NodeKind::kPermute:
        return graph.permute(operands[0], node.axes);
      case NodeKind::kExpand:
        return graph.expand(operands[0], shape(node.shape));
      default:
        return graph.reshape(operands[0], shape(node.shape));
    }
  }

  SegmentInput source_of_symbol(const std::string& name) const {
    for (const Value scalar : from_.scalars()) {
      const Node& node = from_.node(scalar);
      if (node.name == name && node.type == Type::i64) return {scalar, -1};
    }
    for (Dim dim = 0; dim < static_cast<Dim>(from_.dims().size()); ++dim) {
      if (from_.dims().node(dim).op == DimOp::kSymbol && from_.dims().node(dim).name == name)
        return {-1, dim};
    }
    return {};
  }

  const Graph& from_;
  const std::vector<int>& levels_;
  const int level_;
  Segment& to_;
  std::vector<Value> copies_;
};

class Segmenter {
 public:
  explicit Segmenter(const Graph& graph)
      : graph_(graph),
        levels_(graph.nodes().size()),
        needed_(graph.nodes().size()),
        viewed_(graph.nodes().size()) {
    find_levels();
    wanted_.resize(last_level_ + 1);
    for (Value value = 0; value < size(); ++value) {
      if (graph.node(value).kind == NodeKind::kCall) {
        for (const Value operand : graph.node(value).operands) want(operand, levels_[value]);
      }
    }
    for (const Value output : graph.outputs()) want(output, last_level_);
    for (const auto& [value, level] : filled_) add(value, level);
    // What later levels read follows from earlier ones, the last level first.
    for (int level = last_level_; level >= 0; --level) {
      std::set<Value> seen;
      for (std::size_t i = 0; i < wanted_[level].size(); ++i)
        read_by(wanted_[level][i], level, seen);
    }
  }

  std::vector<Segment> run() {
    for (int level = 0; level <= last_level_; ++level) {
      if (!wanted_[level].empty()) {
        Segment segment;
        Cloner cloner(graph_, levels_, level, segment);
        std::ranges::sort(wanted_[level]);
        for (const Value value : wanted_[level]) cloner.output(value);
        cloner.finish();
        segments_.push_back(std::move(segment));
      }
      for (Value value = 0; value < size(); ++value) {
        if (graph_.node(value).kind != NodeKind::kCall || levels_[value] != level) continue;
        for (const Value operand : graph_.node(value).operands) view(operand);
        push(SegmentKind::kCall, value);
      }
    }
    for (const Value output : graph_.outputs()) view(output);
    return std::move(segments_);
  }

 private:
  Value size() const { return static_cast<Value>(graph_.nodes().size()); }

  // A value belongs to the level of the calls it waits for: level n runs before the calls of level n.
  void find_levels() {
    for (Value value = 0; value < size(); ++value) {
      const Node& node = graph_.node(value);
      for (const Value operand : node.operands)
        levels_[value] = std::max(levels_[value], levels_[operand]);
      if (node.kind == NodeKind::kResult) ++levels_[value];
      last_level_ = std::max(last_level_, levels_[value]);
    }
  }

  Value root(Value value) const {
    while (is_view(graph_.node(value))) value = graph_.node(value).operands[0];
    return value;
  }

  // Something outside of the subgraphs needs `value` once level `level` has run.
  void want(Value value, int level) {
    const Value from = root(value);
    if (is_source(graph_.node(from))) {
      // There is no memory to view, so the subgraph of the first level that needs it fills it in.
      const auto [it, fresh] = filled_.try_emplace(value, level);
      if (!fresh) it->second = std::min(it->second, level);
    } else if (is_computed(graph_.node(from))) {
      add(from, levels_[from]);
    }
  }

  void add(Value value, int level) {
    if (needed_[value]) return;
    needed_[value] = true;
    wanted_[level].push_back(value);
  }

  // Adds what the subgraph of `level` reads of earlier ones to compute `value`.
  void read_by(Value value, int level, std::set<Value>& seen) {
    if (!seen.insert(value).second) return;
    const Node& node = graph_.node(value);
    if (is_computed(node) && levels_[value] != level) {
      add(value, levels_[value]);
    } else if (is_computed(node) || is_view(node)) {
      for (const Value operand : node.operands) read_by(operand, level, seen);
    }
  }

  void push(SegmentKind kind, Value value) {
    Segment& segment = segments_.emplace_back();
    segment.kind = kind;
    segment.value = value;
  }

  void view(Value value) {
    const Node& node = graph_.node(value);
    if (!is_view(node) || viewed_[value] || is_source(graph_.node(root(value)))) return;
    viewed_[value] = true;
    view(node.operands[0]);
    push(SegmentKind::kView, value);
  }

  const Graph& graph_;
  std::vector<int> levels_;
  std::vector<bool> needed_;  // by something outside of the subgraph that computes it
  std::vector<bool> viewed_;
  std::vector<std::vector<Value>> wanted_;  // by level: outputs of its subgraph
  std::map<Value, int> filled_;  // sources, and views of them, by the level that needs them first
  std::vector<Segment> segments_;
  int last_level_ = 0;
};

}  // namespace

std::vector<Segment> segment_graph(const Graph& graph) { return Segmenter(graph).run(); }

}  // namespace dvm

#include "eager/splice.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "graph/remake.h"

namespace dvm::eager {
namespace {

class Splicing {
 public:
  Splicing(const Trace& trace, const std::vector<int>& wanted)
      : trace_(trace), values_(trace.values(), -1), needed_(trace.values(), 0) {
    for (const int value : wanted) needed_[value] = 1;
    for (auto step = trace.steps().rbegin(); step != trace.steps().rend(); ++step) mark(*step);
  }

  Spliced run(const std::vector<int>& wanted, const std::vector<MemoryOrder>& orders) {
    externals();
    symbols();
    for (const TraceStep& step : trace_.steps()) {
      if (!is_needed(step)) continue;
      if (step.made_by != nullptr) {
        copy(step);
      } else {
        view(trace_.views()[step.view], step.first_value);
      }
    }
    Graph& graph = made_.graph;
    std::vector<Value> written;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      Value value = values_[wanted[i]];
      // A result is memory of its own.
      if (std::ranges::find(written, value) != written.end() || computes_nothing(value))
        value = graph.elementwise(Op::copy, {value});
      written.push_back(value);
      graph.output(value, orders[i]);
    }
    return std::move(made_);
  }

 private:
  int results(const TraceStep& step) const {
    return step.made_by == nullptr ? 1 : step.made_by->results();
  }

  bool is_needed(const TraceStep& step) const {
    const auto first = needed_.begin() + step.first_value;
    return std::any_of(first, first + results(step), [](char needed) { return needed != 0; });
  }

  void mark(const TraceStep& step) {
    if (!is_needed(step)) return;
    if (step.made_by == nullptr) {
      needed_[trace_.views()[step.view].value] = 1;
    } else {
      for (const int operand : trace_.operands(step)) needed_[operand] = 1;
    }
  }

  Dim size(std::int64_t size) {
    if (size == 1) return made_.graph.dims().constant(1);
    const auto& sizes = trace_.sizes();
    const auto number = std::ranges::find(sizes, size) - sizes.begin();
    return made_.graph.dims().symbol("n" + std::to_string(number));
  }

  void externals() {
    bound_.assign(trace_.sizes().size(), 0);
    for (std::size_t i = 0; i < trace_.externals().size(); ++i) {
      const int value = trace_.external_values()[i];
      if (!needed_[value]) continue;
      const Region& region = trace_.externals()[i];
      std::vector<Dim> shape;
      for (int axis = 0; axis < region.layout.rank; ++axis) {
        const std::int64_t extent = region.layout.sizes[axis];
        shape.push_back(size(extent));
        if (extent != 1)
          bound_[std::ranges::find(trace_.sizes(), extent) - trace_.sizes().begin()] = 1;
      }
      const std::string name = "x" + std::to_string(made_.inputs.size());
      values_[value] = made_.graph.input(name, region.type, std::move(shape));
      made_.inputs.push_back(static_cast<int>(i));
    }
  }

  // Sizes that only views tell come as numbers.
  void symbols() {
    for (const TraceStep& step : trace_.steps()) {
      if (step.made_by != nullptr || !is_needed(step)) continue;
      const View& view = trace_.views()[step.view];
      for (const auto* extents : {&view.factors, &view.lengths, &view.sizes, &view.starts}) {
        for (const std::int64_t extent : *extents) {
          if (extent > 1) declare(extent);
        }
      }
    }
  }

  void declare(std::int64_t extent) {
    const auto number = std::ranges::find(trace_.sizes(), extent) - trace_.sizes().begin();
    if (bound_[number]) return;
    bound_[number] = 1;
    made_.graph.scalar("n" + std::to_string(number), Type::i64);
    made_.symbols.push_back(static_cast<int>(number));
  }

  void copy(const TraceStep& step) {
    const Graph& from = step.made_by->graph();
    std::vector<Value> mine(from.nodes().size(), -1);
    std::unordered_map<Dim, Dim> dims;
    const std::span<const int> operands = trace_.operands(step);
    for (std::size_t i = 0; i < operands.size(); ++i) {
      mine[from.inputs()[i]] = values_[operands[i]];
      match(from, from.inputs()[i], values_[operands[i]], dims);
    }
    for (std::size_t i = 0; i < from.scalars().size(); ++i) {
      const Node& scalar = from.node(from.scalars()[i]);
      mine[from.scalars()[i]] =
          made_.graph.scalar("k" + std::to_string(made_.numbers.size()), scalar.type);
      made_.numbers.push_back(step.first_number + static_cast<int>(i));
    }
    Remaking remaking(from, made_.graph, std::move(dims));
    for (Value value = 0; value < static_cast<Value>(from.nodes().size()); ++value) {
      if (mine[value] >= 0) continue;
      std::vector<Value> of;
      for (const Value operand : from.node(value).operands) of.push_back(mine[operand]);
      mine[value] = remaking.remake(value, of);
    }
    for (int i = 0; i < step.made_by->results(); ++i)
      values_[step.first_value + i] = mine[from.outputs()[i]];
  }

  // Says which dimensions of this Graph those of a Template's operand are. What it takes for one number or one symbol
  // is so in every call that has this structure.
  void match(const Graph& from, Value operand, Value value, std::unordered_map<Dim, Dim>& dims) {
    const std::vector<Dim> theirs = from.node(operand).shape;
    const std::vector<Dim> ours = made_.graph.node(value).shape;
    for (std::size_t axis = 0; axis < theirs.size(); ++axis) {
      const Dim their = theirs[axis];
      if (from.dims().is_constant(their)) {
        equal(ours[axis], made_.graph.dims().constant(from.dims().value(their)));
        continue;
      }
      const auto [known, is_new] = dims.try_emplace(their, ours[axis]);
      if (!is_new) equal(known->second, ours[axis]);
    }
  }

  void equal(Dim a, Dim b) {
    if (!made_.graph.facts().same(a, b) && !made_.graph.equal("eager", a, b))
      throw std::invalid_argument("[eager] sizes of a trace contradict each other");
  }

  void view(const View& view, int number) {
    Graph& graph = made_.graph;
    Value value = values_[view.value];
    std::vector<Dim> shape;
    for (const std::int64_t extent : view.sizes) shape.push_back(size(extent));
    if (!view.factors.empty()) value = part(value, view);
    std::vector<int>
        order;  // of the value's axes: those of the view, then those it has none of, of size 1
    std::vector<Dim> seen;
    const std::vector<Dim> all = graph.node(value).shape;
    for (const int axis : view.axes) {
      if (axis >= 0) order.push_back(axis);
      seen.push_back(axis >= 0 ? all[axis] : graph.dims().constant(1));
    }
    for (int axis = 0; axis < static_cast<int>(all.size()); ++axis) {
      if (std::ranges::find(order, axis) == order.end()) order.push_back(axis);
    }
    if (!std::ranges::is_sorted(order)) value = graph.permute(value, order);
    if (seen != graph.node(value).shape) value = graph.reshape(value, seen);
    bool broadcast = false;
    for (std::size_t i = 0; i < shape.size(); ++i) {
      const bool is_one = graph.dims().is_constant(seen[i], 1);
      const bool wider = is_one && !graph.dims().is_constant(shape[i], 1);
      broadcast |= wider;
      if (!wider) shape[i] = seen[i];
    }
    values_[number] = broadcast ? graph.expand(value, shape) : value;
  }

  Value part(Value value, const View& view) {
    Graph& graph = made_.graph;
    std::vector<Dim> factors;
    for (const std::int64_t factor : view.factors) factors.push_back(size(factor));
    if (factors != graph.node(value).shape) value = graph.reshape(value, factors);
    for (std::size_t axis = 0; axis < factors.size(); ++axis) {
      if (view.lengths[axis] == view.factors[axis]) continue;
      const Dim start = view.starts[axis] == 0 ? graph.dims().constant(0) : size(view.starts[axis]);
      value = graph.slice(value, static_cast<int>(axis), start, size(view.lengths[axis]));
    }
    return value;
  }

  bool computes_nothing(Value value) const {
    while (true) {
      const Node& node = made_.graph.node(value);
      switch (node.kind) {
        case NodeKind::kReshape:
        case NodeKind::kExpand:
        case NodeKind::kPermute:
        case NodeKind::kSlice:
          value = node.operands[0];
          break;
        default:
          return node.kind == NodeKind::kInput || node.kind == NodeKind::kConstant ||
                 node.kind == NodeKind::kScalar || node.kind == NodeKind::kSize;
      }
    }
  }

  const Trace& trace_;
  Spliced made_{Graph("eager"), {}, {}, {}};
  std::vector<Value> values_;  // of the trace's values
  std::vector<char> needed_;
  std::vector<char> bound_;  // sizes that an input has
};

}  // namespace

Spliced splice(const Trace& trace, const std::vector<int>& wanted,
               const std::vector<MemoryOrder>& orders) {
  return Splicing(trace, wanted).run(wanted, orders);
}

}  // namespace dvm::eager

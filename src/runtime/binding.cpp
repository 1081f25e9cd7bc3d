#include "runtime/binding.h"

#include <stdexcept>

namespace dvm {
namespace {

std::string text(Type type) { return std::string(info(type).text); }

bool is_operation(DimOp op) { return op != DimOp::kConstant && op != DimOp::kSymbol; }

}  // namespace

Binding::Binding(const Graph& graph, const Fusion& fusion) : graph_(&graph) {
  const Dims& dims = graph.dims();
  for (Dim dim = 0; dim < static_cast<Dim>(dims.size()); ++dim) {
    if (is_operation(dims.node(dim).op)) equations_.push_back({dims.find(dim), dim});
  }

  // A rehearsal: which dimensions would be known? The values themselves do not matter.
  DimValues values(dims);
  for (const Value input : graph.inputs()) {
    if (graph.node(input).shape.size() > kMaxRank) {
      fail("input " + graph.node(input).name + " has rank " +
           std::to_string(graph.node(input).shape.size()) + ", at most " +
           std::to_string(kMaxRank) + " is supported");
    }
    for (const Dim dim : graph.node(input).shape) (void)values.bind(dim, 64);
  }
  settle(values);
  for (std::size_t i = 0; i < graph.scalars().size(); ++i) {
    const Node& scalar = graph.node(graph.scalars()[i]);
    if (scalar.type != Type::i64) continue;
    for (Dim dim = 0; dim < static_cast<Dim>(dims.size()); ++dim) {
      if (dims.node(dim).op != DimOp::kSymbol || dims.node(dim).name != scalar.name) continue;
      if (values.get(dim) != DimValues::kUnknown) break;
      symbol_scalars_.push_back(static_cast<int>(i));
      scalar_symbols_.push_back(dim);
      (void)values.bind(dim, 64);
      settle(values);
      break;
    }
  }
  for (const Kernel& kernel : fusion.kernels) {
    for (const Dim dim : kernel.axes) require(values, dim, "kernel " + kernel.name);
    for (const Term& term : kernel.terms) {
      if (term.kind == TermKind::kSize) require(values, term.dim, "kernel " + kernel.name);
    }
    for (const KernelOutput& output : kernel.outputs) {
      for (const Dim dim : graph.node(output.value).shape)
        require(values, dim, "kernel " + kernel.name);
    }
  }
  for (const Step& step : fusion.steps) {
    if (step.kind != StepKind::kView) continue;
    const Node& view = graph.node(step.value);
    for (const Dim dim : view.shape) require(values, dim, "%" + std::to_string(step.value));
    if (view.kind == NodeKind::kSlice) require(values, view.dim, "%" + std::to_string(step.value));
  }
}

void Binding::fail(const std::string& what) const {
  throw std::invalid_argument("[" + graph_->name() + "] " + what);
}

void Binding::require(const DimValues& values, Dim dim, const std::string& where) const {
  if (values.get(dim) != DimValues::kUnknown) return;
  const std::string name = graph_->dims().text(dim);
  fail("dimension " + name + " of " + where +
       " follows from no input: add an input that has it, or scalar(\"" + name + "\", \"i64\")");
}

std::int64_t Binding::evaluate(const DimValues& values, Dim expression) const {
  const Dims::Node& node = graph_->dims().node(expression);
  const std::int64_t a = values.get(node.a);
  const std::int64_t b = values.get(node.b);
  if (a == DimValues::kUnknown || b == DimValues::kUnknown) return DimValues::kUnknown;
  return apply(node.op, a, b);
}

// Carries values across equations until nothing new follows.
void Binding::settle(DimValues& values) const {
  for (bool changed = true; changed;) {
    changed = false;
    for (const Equation& equation : equations_) {
      if (values.get(equation.representative) != DimValues::kUnknown) continue;
      const std::int64_t value = evaluate(values, equation.expression);
      if (value == DimValues::kUnknown) continue;
      changed = values.bind(equation.representative, value);
    }
  }
}

void Binding::check_types(std::span<const TensorView> inputs) const {
  const Graph& graph = *graph_;
  if (inputs.size() != graph.inputs().size()) {
    fail("expected " + std::to_string(graph.inputs().size()) + " inputs, got " +
         std::to_string(inputs.size()));
  }
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const Node& node = graph.node(graph.inputs()[i]);
    const TensorView& view = inputs[i];
    if (view.type != node.type) {
      fail("input " + node.name + ": expected " + text(node.type) + ", got " + text(view.type));
    }
    if (view.rank != static_cast<int>(node.shape.size())) {
      fail("input " + node.name + ": expected rank " + std::to_string(node.shape.size()) +
           ", got rank " + std::to_string(view.rank));
    }
  }
}

void Binding::contradiction(std::span<const TensorView> inputs, std::size_t input, std::size_t axis,
                            std::int64_t known) const {
  const Graph& graph = *graph_;
  const Dims& dims = graph.dims();
  const Node& node = graph.node(graph.inputs()[input]);
  const Dim dim = node.shape[axis];
  const std::string came = "input " + node.name + ": dimension " + std::to_string(axis) + " is " +
                           std::to_string(inputs[input].sizes[axis]);
  if (dims.is_constant(dim)) fail(came + ", expected " + std::to_string(known));
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const std::vector<Dim>& shape = graph.node(graph.inputs()[i]).shape;
    for (std::size_t j = 0; j < shape.size() && !(i == input && j == axis); ++j) {
      if (!dims.same(shape[j], dim)) continue;
      fail(came + ", but " + dims.text(dim) + " is " + std::to_string(known) + " from dimension " +
           std::to_string(j) + " of input " + graph.node(graph.inputs()[i]).name);
    }
  }
  fail(came + ", but " + dims.text(dim) + " is " + std::to_string(known));
}

DimValues Binding::bind(std::span<const TensorView> inputs,
                        std::span<const std::uint64_t> scalars) const {
  const Graph& graph = *graph_;
  const Dims& dims = graph.dims();
  DimValues values(dims);
  // Symbols and constants first: a contradiction is then told of them and not of an expression.
  for (const bool operations : {false, true}) {
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const std::vector<Dim>& shape = graph.node(graph.inputs()[i]).shape;
      for (std::size_t j = 0; j < shape.size(); ++j) {
        if (is_operation(dims.op(shape[j])) != operations) continue;
        if (!values.bind(shape[j], inputs[i].sizes[j]))
          contradiction(inputs, i, j, values.get(shape[j]));
      }
    }
    if (operations) break;
    for (std::size_t i = 0; i < symbol_scalars_.size(); ++i) {
      const int number = symbol_scalars_[i];
      const auto value = static_cast<std::int64_t>(scalars[number]);
      if (value >= 0 && values.bind(scalar_symbols_[i], value)) continue;
      const std::string came = "scalar " + graph.node(graph.scalars()[number]).name + " is ";
      if (value < 0) fail(came + "a dimension and cannot be " + std::to_string(value));
      fail(came + std::to_string(value) + ", but the dimension is " +
           std::to_string(values.get(scalar_symbols_[i])));
    }
  }
  if (equations_.empty()) return values;
  settle(values);
  for (const Equation& equation : equations_) {
    const std::int64_t value = evaluate(values, equation.expression);
    const std::int64_t known = values.get(equation.representative);
    if (value == DimValues::kUnknown || value == known) continue;
    const Dims::Node& node = dims.node(equation.expression);
    fail("the inputs contradict each other: " + dims.text(equation.representative) + " is " +
         std::to_string(known) + ", but it equals an expression of " + dims.text(node.a) + " = " +
         std::to_string(values.get(node.a)) + " and " + dims.text(node.b) + " = " +
         std::to_string(values.get(node.b)) + " that is " + std::to_string(value));
  }
  return values;
}

}  // namespace dvm

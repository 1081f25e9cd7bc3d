#include "runtime/binding.h"

#include <algorithm>
#include <set>
#include <stdexcept>

namespace dvm {
namespace {

std::string type_text(Type type) { return std::string(info(type).text); }

bool is_expression(DimKind kind) { return kind != DimKind::kConstant && kind != DimKind::kSymbol; }

constexpr std::int64_t kSomeSize = 1;  // for rehearsals, where only what becomes known matters

}  // namespace

Binding::Binding(const Graph& graph, const Fusion& fusion) : graph_(&graph) {
  DimValues values(graph.dims());
  order_sources(values);
  find_symbol_scalars(values);
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
    if (step.kind == StepKind::kKernel) continue;
    const Node& view = graph.node(step.value);
    for (const Dim dim : view.shape) require(values, dim, "%" + std::to_string(step.value));
    if (view.kind == NodeKind::kSlice) require(values, view.dim, "%" + std::to_string(step.value));
  }
}

// A rehearsal: what is known after which input, and what tells the rest? The values themselves do not matter.
void Binding::order_sources(DimValues& values) {
  const Graph& graph = *graph_;
  const Dims& dims = graph.dims();
  std::vector<Source> left;
  for (std::size_t i = 0; i < graph.inputs().size(); ++i) {
    const Node& node = graph.node(graph.inputs()[i]);
    if (node.shape.size() > kMaxRank) {
      fail("input " + node.name + " has rank " + std::to_string(node.shape.size()) + ", at most " +
           std::to_string(kMaxRank) + " is supported");
    }
    for (std::size_t k = 0; k < node.shape.size(); ++k) {
      const Dim dim = dims.find(node.shape[k]);
      const Source source{static_cast<int>(i), static_cast<int>(k), dim, -1};
      if (is_expression(dims.kind(dim))) {
        left.push_back(source);
      } else {
        sources_.push_back(source);
        (void)values.bind(dim, kSomeSize);
      }
    }
  }
  // In rounds, each of which takes what has become computable or solvable. If nothing has, an expression is taken
  // for what it is: its value is known, its symbols are not.
  while (!left.empty()) {
    std::vector<Source> later;
    for (const Source& source : left) {
      const Source solved = solvable(values, source);
      if (solved.solve_for < 0 && values.get(source.dim) == DimValues::kUnknown) {
        later.push_back(source);
      } else {
        expressions_.push_back(solved);
        rehearse(values, solved);
      }
    }
    if (later.size() == left.size()) {
      expressions_.push_back(later.front());
      (void)values.bind(later.front().dim, kSomeSize);
      later.erase(later.begin());
    }
    left = std::move(later);
  }
  settle(values);
}

void Binding::find_symbol_scalars(DimValues& values) {
  const Dims& dims = graph_->dims();
  for (std::size_t i = 0; i < graph_->scalars().size(); ++i) {
    const Node& scalar = graph_->node(graph_->scalars()[i]);
    if (scalar.type != Type::i64) continue;
    const Dim symbol = dims.look_up(scalar.name);
    if (symbol < 0 || values.get(symbol) != DimValues::kUnknown) continue;
    symbol_scalars_.push_back(static_cast<int>(i));
    scalar_sources_.push_back(solvable(values, {-1, -1, dims.find(symbol), -1}));
    rehearse(values, scalar_sources_.back());
    settle(values);
  }
}

void Binding::rehearse(DimValues& values, const Source& source) const {
  (void)values.bind(source.solve_for >= 0 ? source.solve_for : source.dim, kSomeSize);
}

// The source with the one part that is unknown of its dimension, where the others and the size tell it.
Binding::Source Binding::solvable(const DimValues& values, Source source) const {
  for (const Monomial& term : graph_->dims().node(source.dim).terms) {
    const bool known = std::ranges::all_of(
        term.atoms, [&](Dim atom) { return values.get(atom) != DimValues::kUnknown; });
    if (known) continue;
    if (source.solve_for >= 0 || term.atoms.size() != 1) {
      source.solve_for = -1;
      return source;
    }
    source.solve_for = term.atoms[0];
    source.factor = term.factor;
  }
  return source;
}

// Binds what a size tells. False when it contradicts what is known.
bool Binding::take(DimValues& values, const Source& source, std::int64_t size) const {
  if (source.solve_for < 0 || values.get(source.dim) != DimValues::kUnknown)
    return values.bind(source.dim, size);
  std::int64_t left = size;
  for (const Monomial& term : graph_->dims().node(source.dim).terms) {
    if (term.atoms.size() == 1 && term.atoms[0] == source.solve_for) continue;
    std::int64_t product = term.factor;
    for (const Dim atom : term.atoms) product *= values.get(atom);
    left -= product;
  }
  if (left % source.factor != 0 || left / source.factor < 0) return false;
  return values.bind(source.solve_for, left / source.factor);
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

// Carries values across equations until nothing new follows.
void Binding::settle(DimValues& values) const {
  for (bool changed = true; changed;) {
    changed = false;
    for (const Dims::Equation& equation : graph_->dims().equations()) {
      if (values.get(equation.equal_to) != DimValues::kUnknown) continue;
      const std::int64_t value = values.compute(equation.expression);
      if (value == DimValues::kUnknown) continue;
      changed = values.bind(equation.equal_to, value);
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
      fail("input " + node.name + ": expected " + type_text(node.type) + ", got " +
           type_text(view.type));
    }
    if (view.rank != static_cast<int>(node.shape.size())) {
      fail("input " + node.name + ": expected rank " + std::to_string(node.shape.size()) +
           ", got rank " + std::to_string(view.rank));
    }
  }
}

// `n is 12 from dimension 0 of input x`, for each symbol in `dim` that an input has.
std::string Binding::symbols_of(Dim dim, std::span<const TensorView> inputs) const {
  const Graph& graph = *graph_;
  std::string found;
  std::set<std::string> told;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const Node& node = graph.node(graph.inputs()[i]);
    for (std::size_t j = 0; j < node.shape.size(); ++j) {
      const bool part = graph.dims().same(node.shape[j], dim) ||
                        (!graph.dims().is_constant(node.shape[j]) &&
                         graph.dims().mentions(dim, graph.dims().find(node.shape[j])));
      const std::string name = graph.dims().text(node.shape[j]);
      if (!part || !told.insert(name).second) continue;
      found += (found.empty() ? "" : ", ") + name + " is " + std::to_string(inputs[i].sizes[j]) +
               " from dimension " + std::to_string(j) + " of input " + node.name;
    }
  }
  return found;
}

void Binding::contradiction(std::span<const TensorView> inputs, const Source& source,
                            std::int64_t known) const {
  const Graph& graph = *graph_;
  const Dims& dims = graph.dims();
  const Node& node = graph.node(graph.inputs()[source.input]);
  const Dim dim = source.dim;
  std::string why;
  for (const Fact& fact : graph.facts().stated()) {
    if (!fact.given || fact.kind == FactKind::kLikely || !dims.same(fact.a, dim)) continue;
    why = " (" + text(dims, fact) + ", says the " + fact.source + ")";
    break;
  }
  const std::string came = "input " + node.name + ": dimension " + std::to_string(source.axis) +
                           " is " + std::to_string(inputs[source.input].sizes[source.axis]);
  if (known == DimValues::kUnknown) fail(came + ", which " + dims.text(dim) + " cannot be" + why);
  if (dims.is_constant(dim)) fail(came + ", expected " + std::to_string(known) + why);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const std::vector<Dim>& shape = graph.node(graph.inputs()[i]).shape;
    for (std::size_t j = 0; j < shape.size(); ++j) {
      if (static_cast<int>(i) == source.input && static_cast<int>(j) == source.axis) break;
      if (!dims.same(shape[j], dim)) continue;
      fail(came + ", but " + dims.text(dim) + " is " + std::to_string(known) + " from dimension " +
           std::to_string(j) + " of input " + graph.node(graph.inputs()[i]).name + why);
    }
  }
  fail(came + ", but " + dims.text(dim) + " is " + std::to_string(known) + why);
}

DimValues Binding::bind(std::span<const TensorView> inputs,
                        std::span<const std::uint64_t> scalars) const {
  DimValues values(graph_->dims());
  const auto take_all = [&](const std::vector<Source>& sources) {
    for (const Source& source : sources) {
      if (!take(values, source, inputs[source.input].sizes[source.axis]))
        contradiction(inputs, source, values.get(source.dim));
    }
  };
  // Symbols and constants first: a contradiction is then told of them and not of an expression.
  take_all(sources_);
  bind_scalars(values, scalars);
  take_all(expressions_);
  settle(values);
  check_facts(values, inputs);
  check_equations(values);
  return values;
}

void Binding::bind_scalars(DimValues& values, std::span<const std::uint64_t> scalars) const {
  for (std::size_t i = 0; i < symbol_scalars_.size(); ++i) {
    const Source& source = scalar_sources_[i];
    const int number = symbol_scalars_[i];
    const auto value = static_cast<std::int64_t>(scalars[number]);
    if (value >= 0 && take(values, source, value)) continue;
    const std::string came = "scalar " + graph_->node(graph_->scalars()[number]).name + " is ";
    if (value < 0) fail(came + "a dimension and cannot be " + std::to_string(value));
    fail(came + std::to_string(value) + ", but the dimension is " +
         std::to_string(values.get(source.dim)));
  }
}

void Binding::check_equations(const DimValues& values) const {
  const Dims& dims = graph_->dims();
  for (const Dims::Equation& equation : dims.equations()) {
    const std::int64_t value = values.compute(equation.expression);
    const std::int64_t known = values.get(equation.equal_to);
    if (value == DimValues::kUnknown || known == DimValues::kUnknown || value == known) continue;
    fail("the inputs contradict each other: " + dims.written(equation.expression) + " is " +
         std::to_string(value) + ", but it equals " + dims.written(equation.equal_to) +
         ", which is " + std::to_string(known));
  }
}

void Binding::check_facts(const DimValues& values, std::span<const TensorView> inputs) const {
  const Dims& dims = graph_->dims();
  // What was stated of an expression is asked of its parts, which is not what it has been found equal to.
  const auto value_of = [&](Dim dim) {
    const std::int64_t value = values.compute(dim);
    return value == DimValues::kUnknown ? values.get(dim) : value;
  };
  for (const Fact& fact : graph_->facts().stated()) {
    if (!fact.given || fact.kind == FactKind::kLikely) continue;
    const std::int64_t a = value_of(fact.a);
    const std::int64_t b = fact.kind == FactKind::kEqual ? value_of(fact.b) : 0;
    if (a == DimValues::kUnknown || b == DimValues::kUnknown) continue;
    const bool holds = fact.kind == FactKind::kEqual ? a == b
                       : fact.kind == FactKind::kMultiple
                           ? a % fact.numbers[0] == 0
                           : fact.numbers[0] <= a && a <= fact.numbers[1];
    if (holds) continue;
    std::string from = symbols_of(fact.a, inputs);
    const std::string other = fact.b < 0 ? "" : symbols_of(fact.b, inputs);
    if (!other.empty() && other != from) from += (from.empty() ? "" : ", ") + other;
    fail("the fact " + text(dims, fact) + " of the " + fact.source + " does not hold: " +
         (from.empty() ? dims.written(fact.a) + " is " + std::to_string(a) : from));
  }
}

}  // namespace dvm

#include "graph/graph.h"

#include <algorithm>
#include <bit>
#include <stdexcept>

#include "graph/text.h"

namespace dvm {
namespace {

[[noreturn]] void fail(std::string_view op, const std::string& what) {
  throw std::invalid_argument("[" + std::string(op) + "] " + what);
}

int normalise_axis(std::string_view op, int axis, std::size_t rank) {
  const int n = static_cast<int>(rank);
  if (axis < -n || axis >= n) {
    fail(op, "axis " + std::to_string(axis) + " is out of range for a tensor of rank " +
                 std::to_string(n));
  }
  return axis < 0 ? axis + n : axis;
}

std::uint64_t float_bits(double value, Type type) {
  return type == Type::f32 ? std::bit_cast<std::uint32_t>(static_cast<float>(value))
                           : std::bit_cast<std::uint64_t>(value);
}

}  // namespace

Value Graph::add(Node node) {
  nodes_.push_back(std::move(node));
  return static_cast<Value>(nodes_.size()) - 1;
}

Value Graph::copy(Node node) {
  const NodeKind kind = node.kind;
  const Value value = add(std::move(node));
  if (kind == NodeKind::kInput) inputs_.push_back(value);
  if (kind == NodeKind::kScalar) scalars_.push_back(value);
  return value;
}

void Graph::require(Value value, const char* where) const {
  if (value < 0 || value >= static_cast<Value>(nodes_.size())) {
    fail(where, "value %" + std::to_string(value) + " is not in this graph of " +
                    std::to_string(nodes_.size()) + " nodes");
  }
}

Value Graph::input(std::string name, Type type, std::vector<Dim> shape, bool is_weight) {
  const Value value = add({.kind = NodeKind::kInput,
                           .type = type,
                           .shape = std::move(shape),
                           .name = std::move(name),
                           .is_weight = is_weight});
  inputs_.push_back(value);
  return value;
}

Value Graph::scalar(std::string name, Type type) {
  const Value value = add({.kind = NodeKind::kScalar, .type = type, .name = std::move(name)});
  scalars_.push_back(value);
  return value;
}

Value Graph::constant(double value, Type type) {
  if (info(type).kind != Kind::kFloat)
    fail("constant", "a floating-point value for the type " + std::string(info(type).text));
  return constant_bits(float_bits(value, compute(type)), type);
}

Value Graph::constant(std::int64_t value, Type type) {
  if (info(type).kind == Kind::kFloat) return constant(static_cast<double>(value), type);
  if (info(type).kind == Kind::kBool) return constant_bits(value != 0, type);
  switch (type) {
    case Type::i8:
      return constant_bits(static_cast<std::uint32_t>(static_cast<std::int8_t>(value)), type);
    case Type::u8:
      return constant_bits(static_cast<std::uint8_t>(value), type);
    case Type::i16:
      return constant_bits(static_cast<std::uint32_t>(static_cast<std::int16_t>(value)), type);
    case Type::i32:
      return constant_bits(static_cast<std::uint32_t>(value), type);
    default:
      return constant_bits(static_cast<std::uint64_t>(value), type);
  }
}

Value Graph::constant_bits(std::uint64_t bits, Type type) {
  return add({.kind = NodeKind::kConstant, .type = type, .bits = bits});
}

Value Graph::size(Dim dim, Type type) {
  return add({.kind = NodeKind::kSize, .type = type, .dim = dim});
}

Value Graph::iota(std::vector<Dim> shape, int axis) {
  axis = normalise_axis("iota", axis, shape.size());
  return add(
      {.kind = NodeKind::kIota, .type = Type::i64, .shape = std::move(shape), .axes = {axis}});
}

void Graph::fact(Fact fact) {
  fact.position = static_cast<int>(nodes_.size());
  const std::string what = text(dims(), fact);
  if (!facts_.state(std::move(fact)))
    fail("fact", what + " contradicts what is known of these dimensions");
}

bool Graph::equal(const char* where, Dim a, Dim b) {
  if (dims().same(a, b)) return true;
  const int position = static_cast<int>(nodes_.size());
  return facts_.equal(a, b, "%" + std::to_string(position) + " = " + where, position);
}

// A reshape tells how a symbol follows from others. What else it asks of sizes is better said when some come in that
// do not fit.
void Graph::equal_counts(const std::vector<Dim>& before, const std::vector<Dim>& after) {
  const auto product = [this](const std::vector<Dim>& shape) {
    Dim all = dims().constant(1);
    for (const Dim dim : shape) all = dims().binary(DimOp::kMultiply, all, dim);
    return all;
  };
  const Dim a = product(before), b = product(after);
  if (!dims().relates_symbols(a, b)) return;
  if (!equal("reshape", a, b)) {
    fail("reshape",
         shape_text(dims(), before) + " has other elements than " + shape_text(dims(), after));
  }
}

std::vector<Dim> Graph::broadcast(const char* where, const std::vector<Value>& operands) {
  std::size_t rank = 0;
  for (const Value v : operands) rank = std::max(rank, nodes_[v].shape.size());
  std::vector<Dim> shape(rank, -1);
  for (std::size_t i = 0; i < rank; ++i) {  // i counts from the right
    Dim& dim = shape[rank - 1 - i];
    for (const Value v : operands) {
      const std::vector<Dim>& from = nodes_[v].shape;
      if (i >= from.size()) continue;
      const Dim other = from[from.size() - 1 - i];
      if (dim == -1 || dims().is_constant(dim, 1)) {
        dim = other;
      } else if (!dims().is_constant(other, 1) && !equal(where, dim, other)) {
        std::string shapes;
        for (const Value w : operands)
          shapes += (shapes.empty() ? "" : " and ") + shape_text(dims(), nodes_[w].shape);
        fail(where, "shapes " + shapes + " do not broadcast together");
      }
    }
  }
  return shape;
}

Value Graph::elementwise(Op op, std::vector<Value> operands) {
  const OpInfo& row = info(op);
  const std::string name(row.name);
  if (row.family != Family::kElementwise) fail(name, "is not an elementwise instruction");
  if (operands.size() != row.arity) {
    fail(name, std::to_string(operands.size()) + " operands came, " + std::to_string(row.arity) +
                   " are wanted");
  }
  for (const Value v : operands) require(v, name.c_str());
  const Type type = nodes_[operands.back()].type;
  for (std::size_t i = 0; i < operands.size(); ++i) {
    const Type wanted = operand_type(op, type, static_cast<int>(i));
    const Type came = nodes_[operands[i]].type;
    if (came != wanted) {
      fail(name, "operand " + std::to_string(i) + " is " + std::string(info(came).text) + ", " +
                     std::string(info(wanted).text) + " is wanted");
    }
  }
  if (!contains(row.types, compute(type)))
    fail(name, "is not defined for " + std::string(info(type).text));
  Type result = result_type(op, compute(type));
  if (result == compute(type)) result = type;  // a storage type stays what it is
  std::vector<Dim> shape = broadcast(name.c_str(), operands);
  return add({.kind = NodeKind::kElementwise,
              .op = op,
              .type = result,
              .operands = std::move(operands),
              .shape = std::move(shape)});
}

Value Graph::cast(Value value, Type type) {
  require(value, "cast");
  if (nodes_[value].type == type) return value;
  return add(
      {.kind = NodeKind::kCast, .type = type, .operands = {value}, .shape = nodes_[value].shape});
}

Value Graph::reduce(Op op, Value value, std::vector<int> axes) {
  const OpInfo& row = info(op);
  const std::string name(row.name);
  if (row.family != Family::kReduce) fail(name, "is not a reduction");
  if (row.arity != 1) fail(name, "is made by fusion alone: reduce a product or a square_diff");
  require(value, name.c_str());
  const Type type = nodes_[value].type;
  if (!contains(row.types, compute(type)))
    fail(name, "is not defined for " + std::string(info(type).text));
  std::vector<Dim> shape = nodes_[value].shape;
  if (axes.empty()) {
    for (std::size_t i = 0; i < shape.size(); ++i) axes.push_back(static_cast<int>(i));
  }
  for (int& axis : axes) axis = normalise_axis(name, axis, shape.size());
  std::ranges::sort(axes);
  if (std::ranges::adjacent_find(axes) != axes.end()) fail(name, "an axis is named twice");
  for (const int axis : axes) shape[axis] = dims().constant(1);
  Type result = result_type(op, compute(type));
  if (result == compute(type)) result = type;
  return add({.kind = NodeKind::kReduce,
              .op = op,
              .type = result,
              .operands = {value},
              .shape = std::move(shape),
              .axes = std::move(axes)});
}

Value Graph::permute(Value value, std::vector<int> axes) {
  require(value, "permute");
  const std::vector<Dim>& from = nodes_[value].shape;
  if (axes.size() != from.size()) {
    fail("permute", std::to_string(axes.size()) + " axes came for a tensor of rank " +
                        std::to_string(from.size()));
  }
  std::vector<Dim> shape;
  std::vector<bool> seen(axes.size());
  for (int& axis : axes) {
    axis = normalise_axis("permute", axis, from.size());
    if (seen[axis]) fail("permute", "axis " + std::to_string(axis) + " is named twice");
    seen[axis] = true;
    shape.push_back(from[axis]);
  }
  return add({.kind = NodeKind::kPermute,
              .type = nodes_[value].type,
              .operands = {value},
              .shape = std::move(shape),
              .axes = std::move(axes)});
}

Value Graph::expand(Value value, std::vector<Dim> shape) {
  require(value, "expand");
  const std::vector<Dim>& from = nodes_[value].shape;
  bool fits = from.size() <= shape.size();
  for (std::size_t i = 0; fits && i < from.size(); ++i) {
    const Dim dim = from[from.size() - 1 - i];
    fits = dims().is_constant(dim, 1) || equal("expand", dim, shape[shape.size() - 1 - i]);
  }
  if (!fits)
    fail("expand",
         shape_text(dims(), from) + " does not broadcast to " + shape_text(dims(), shape));
  return add({.kind = NodeKind::kExpand,
              .type = nodes_[value].type,
              .operands = {value},
              .shape = std::move(shape)});
}

Value Graph::reshape(Value value, std::vector<Dim> shape) {
  require(value, "reshape");
  // Constant dimensions are judged here; symbolic ones are checked when a plan is made.
  std::int64_t before = 1, after = 1;
  bool known = true;
  for (const Dim dim : nodes_[value].shape)
    known = known && dims().is_constant(dim), before *= known ? dims().value(dim) : 1;
  for (const Dim dim : shape)
    known = known && dims().is_constant(dim), after *= known ? dims().value(dim) : 1;
  if (known && before != after) {
    fail("reshape", shape_text(dims(), nodes_[value].shape) + " has other elements than " +
                        shape_text(dims(), shape));
  }
  equal_counts(nodes_[value].shape, shape);
  return add({.kind = NodeKind::kReshape,
              .type = nodes_[value].type,
              .operands = {value},
              .shape = std::move(shape)});
}

Value Graph::slice(Value value, int axis, Dim start, Dim length, int step) {
  require(value, "slice");
  std::vector<Dim> shape = nodes_[value].shape;
  axis = normalise_axis("slice", axis, shape.size());
  if (step < 1) fail("slice", "a step of " + std::to_string(step) + " came, 1 or more is wanted");
  shape[axis] = length;
  return add({.kind = NodeKind::kSlice,
              .type = nodes_[value].type,
              .operands = {value},
              .shape = std::move(shape),
              .axes = {axis, step},
              .dim = start});
}

Value Graph::gather(Value value, Value index, int axis) {
  require(value, "gather");
  require(index, "gather");
  const std::vector<Dim>& from = nodes_[value].shape;
  const std::vector<Dim>& by = nodes_[index].shape;
  if (nodes_[index].type != Type::i64)
    fail("gather",
         "the index is " + std::string(info(nodes_[index].type).text) + ", i64 is wanted");
  if (from.size() != by.size()) {
    fail("gather", "an index of rank " + std::to_string(by.size()) + " came for a tensor of rank " +
                       std::to_string(from.size()));
  }
  axis = normalise_axis("gather", axis, from.size());
  if (dims().is_constant(from[axis], 0)) fail("gather", "the axis has no elements to pick from");
  std::vector<Dim> shape(from.size());
  for (std::size_t i = 0; i < from.size(); ++i) {
    const bool picked = static_cast<int>(i) == axis;
    shape[i] = picked || dims().is_constant(from[i], 1) ? by[i] : from[i];
    if (!picked && !dims().is_constant(by[i], 1) && !equal("gather", shape[i], by[i])) {
      fail("gather", "an index " + shape_text(dims(), by) + " does not fit " +
                         shape_text(dims(), from) + " along axis " + std::to_string(i));
    }
  }
  return add({.kind = NodeKind::kGather,
              .type = nodes_[value].type,
              .operands = {value, index},
              .shape = std::move(shape),
              .axes = {axis}});
}

void Graph::check(Value condition, std::string message) {
  require(condition, "check");
  if (nodes_[condition].type != Type::bool_ || !nodes_[condition].shape.empty()) {
    fail("check", "the condition is " + std::string(info(nodes_[condition].type).text) +
                      shape_text(dims(), nodes_[condition].shape) + ", one bool is wanted");
  }
  checks_.push_back({condition, std::move(message)});
}

Value Graph::concat(std::vector<Value> operands, int axis) {
  if (operands.empty()) fail("concat", "no operands came, one or more are wanted");
  for (const Value v : operands) require(v, "concat");
  const Type type = nodes_[operands[0]].type;
  std::vector<Dim> shape = nodes_[operands[0]].shape;
  axis = normalise_axis("concat", axis, shape.size());
  for (std::size_t i = 1; i < operands.size(); ++i) {
    const Node& next = nodes_[operands[i]];
    if (next.type != type) {
      fail("concat", "operands of the types " + std::string(info(type).text) + " and " +
                         std::string(info(next.type).text) + " came, equal ones are wanted");
    }
    bool fits = next.shape.size() == shape.size();
    for (std::size_t k = 0; fits && k < shape.size(); ++k) {
      fits = static_cast<int>(k) == axis || equal("concat", shape[k], next.shape[k]);
    }
    if (!fits) {
      fail("concat", "shapes " + shape_text(dims(), nodes_[operands[0]].shape) + " and " +
                         shape_text(dims(), nodes_[operands[i]].shape) +
                         " differ elsewhere than along axis " + std::to_string(axis));
    }
    shape[axis] = dims().binary(DimOp::kAdd, shape[axis], nodes_[operands[i]].shape[axis]);
  }
  return add({.kind = NodeKind::kConcat,
              .type = type,
              .operands = std::move(operands),
              .shape = std::move(shape),
              .axes = {axis}});
}

void Graph::output(Value value, MemoryOrder order) {
  require(value, "output");
  const std::size_t rank = nodes_[value].shape.size();
  MemoryOrder sorted = order;
  std::ranges::sort(sorted);
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    if (sorted.size() != rank || sorted[i] != static_cast<int>(i)) {
      fail("output", "the memory order is not a permutation of " + std::to_string(rank) + " axes");
    }
  }
  outputs_.push_back(value);
  orders_.push_back(std::move(order));
}

}  // namespace dvm

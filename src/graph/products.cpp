// Products, attention and scans: the builders of graph.h for what reads whole rows and columns.
#include <algorithm>
#include <bit>
#include <stdexcept>
#include <string>

#include "graph/graph.h"
#include "graph/text.h"
#include "isa/product.h"

namespace dvm {
namespace {

[[noreturn]] void fail(std::string_view op, const std::string& what) {
  throw std::invalid_argument("[" + std::string(op) + "] " + what);
}

}  // namespace

Value Graph::matmul(Value a, Value b) {
  require(a, "matmul");
  require(b, "matmul");
  const int types = product_of(nodes_[a].type, nodes_[b].type);
  if (types < 0) {
    fail("matmul", "operands of the types " + std::string(info(nodes_[a].type).text) + " and " +
                       std::string(info(nodes_[b].type).text) + " came, wanted are " +
                       products_text());
  }
  const Type type = kProducts[types].sum;
  std::vector<Dim> shape = product_shape(nodes_[a].shape, nodes_[b].shape);
  return add(
      {.kind = NodeKind::kMatmul, .type = type, .operands = {a, b}, .shape = std::move(shape)});
}

Value Graph::matmul_scaled(Value a, Value b, Value scales, int bits) {
  for (const Value operand : {a, b, scales}) require(operand, "matmul");
  if (bits != 8 && bits != 4)
    fail("matmul", std::to_string(bits) + " bits came, 8 or 4 are wanted");
  const Type wanted[] = {Type::f32, bits == 8 ? Type::i8 : Type::u8, Type::f32};
  const Value operands[] = {a, b, scales};
  for (int i = 0; i < 3; ++i) {
    const Type came = nodes_[operands[i]].type;
    if (came != wanted[i]) {
      fail("matmul", "operand " + std::to_string(i) + " of the type " +
                         std::string(info(came).text) + " came, " +
                         std::string(info(wanted[i]).text) + " is wanted of weights of " +
                         std::to_string(bits) + " bits");
    }
  }
  std::vector<Dim> weights = nodes_[b].shape, groups = nodes_[scales].shape;
  if (weights.size() < 2 || groups.size() < 2)
    fail("matmul", "weights and scales want two axes or more");
  Dim& depth = weights[weights.size() - 2];
  if (bits == 4) depth = dims().binary(DimOp::kMultiply, depth, dims().constant(2));
  std::vector<Dim> shape = product_shape(nodes_[a].shape, weights);
  groups[groups.size() - 2] = nodes_[a].shape.back();
  const std::vector<Dim> of_scales = product_shape(nodes_[a].shape, groups);
  if (of_scales.size() > shape.size() || !equal("matmul", of_scales.back(), shape.back())) {
    fail("matmul", "scales of " + shape_text(dims(), nodes_[scales].shape) +
                       " came for weights of " + shape_text(dims(), nodes_[b].shape));
  }
  return add({.kind = NodeKind::kMatmul,
              .type = Type::f32,
              .operands = {a, b, scales},
              .shape = std::move(shape),
              .axes = {bits}});
}

Value Graph::matmul_grouped(Value a, Value b, Value ends) {
  for (const Value operand : {a, b, ends}) require(operand, "matmul_grouped");
  const int types = product_of(nodes_[a].type, nodes_[b].type);
  if (types < 0) {
    fail("matmul_grouped", "operands of the types " + std::string(info(nodes_[a].type).text) +
                               " and " + std::string(info(nodes_[b].type).text) +
                               " came, wanted are " + products_text());
  }
  const Type of_ends = nodes_[ends].type;
  if (of_ends != Type::i32 && of_ends != Type::i64) {
    fail("matmul_grouped", "ends of groups of type " + std::string(info(of_ends).text) +
                               " came, i32 or i64 is wanted");
  }
  const std::vector<Dim>&x = nodes_[a].shape, &y = nodes_[b].shape, &z = nodes_[ends].shape;
  if (x.size() != 2 || y.size() != 3 || z.size() != 1 || !equal("matmul_grouped", x[1], y[1]) ||
      !equal("matmul_grouped", y[0], z[0])) {
    fail("matmul_grouped", "shapes " + shape_text(dims(), x) + ", " + shape_text(dims(), y) +
                               " and " + shape_text(dims(), z) +
                               " came, wanted are [rows, k], [groups, k, n] and [groups]");
  }
  return add({.kind = NodeKind::kMatmul,
              .type = kProducts[types].sum,
              .operands = {a, b, ends},
              .shape = {nodes_[a].shape[0], nodes_[b].shape[2]}});
}

bool is_grouped(const Node& node) {
  return node.kind == NodeKind::kMatmul && node.operands.size() == 3 && node.axes.empty();
}

// Of operands of these shapes: batch axes broadcast, then rows and columns.
std::vector<Dim> Graph::product_shape(const std::vector<Dim>& x, const std::vector<Dim>& y) {
  const std::string shapes = shape_text(dims(), x) + " and " + shape_text(dims(), y);
  if (x.size() < 2 || y.size() < 2)
    fail("matmul", "shapes " + shapes + " came, two axes or more are wanted of each");
  if (!equal("matmul", x.back(), y[y.size() - 2]))
    fail("matmul", "shapes " + shapes + " do not multiply: the inner sizes differ");
  const std::size_t rank = std::max(x.size(), y.size());
  std::vector<Dim> shape;
  for (std::size_t i = 0; i + 2 < rank; ++i) {
    const std::size_t right = rank - i;  // this axis is so far from the end
    const Dim p = right <= x.size() ? x[x.size() - right] : dims().constant(1);
    const Dim q = right <= y.size() ? y[y.size() - right] : dims().constant(1);
    if (!dims().is_constant(p, 1) && !dims().is_constant(q, 1) && !equal("matmul", p, q))
      fail("matmul", "shapes " + shapes + " do not broadcast together");
    shape.push_back(dims().is_constant(p, 1) ? q : p);
  }
  shape.push_back(x[x.size() - 2]);
  shape.push_back(y.back());
  return shape;
}

int product_of(const Graph& graph, const Node& matmul) {
  const Type b = bits_of(matmul) == 0 ? graph.node(matmul.operands[1]).type : Type::i8;
  return product_of(graph.node(matmul.operands[0]).type, b);
}

int bits_of(const Node& matmul) { return matmul.axes.empty() ? 0 : matmul.axes[0]; }

Value Graph::attention(Value q, Value k, Value v, std::optional<Value> mask, const Scoring& scoring,
                       MemoryOrder order) {
  std::vector<Value> operands = {q, k, v};
  if (mask) operands.push_back(*mask);
  std::string shapes;
  for (const Value operand : operands) {
    require(operand, "attention");
    const Node& node = nodes_[operand];
    shapes += (shapes.empty() ? "" : ", ") + shape_text(dims(), node.shape);
    const bool stored = operand == k || operand == v, masks = mask && operand == *mask;
    if (node.type != Type::f32 && !(masks && node.type == Type::bool_) &&
        !(stored && info(node.type).bytes == 2 && compute(node.type) == Type::f32)) {
      fail("attention", "an operand of type " + std::string(info(node.type).text) +
                            " came, f32 is wanted" +
                            (masks    ? ", or bool"
                             : stored ? ", or f16 or bf16"
                                      : ""));
    }
    if (node.shape.size() < 2)
      fail("attention", "shapes " + shapes + " came, two axes or more are wanted of each");
  }
  const auto from_end = [&](Value value, std::size_t right) {
    const std::vector<Dim>& shape = nodes_[value].shape;
    return right <= shape.size() ? shape[shape.size() - right] : dims().constant(1);
  };
  std::size_t rank = 0;
  for (const Value operand : operands) rank = std::max(rank, nodes_[operand].shape.size());
  if (mask && nodes_[*mask].shape.size() > rank) rank = nodes_[*mask].shape.size();
  std::vector<Dim> shape;
  bool fits = equal("attention", from_end(q, 1), from_end(k, 1)) &&
              equal("attention", from_end(k, 2), from_end(v, 2));
  for (std::size_t right = rank; fits && right > 2; --right) {
    Dim dim = dims().constant(1);
    for (const Value operand : operands) {
      const Dim other = from_end(operand, right);
      if (dims().is_constant(other, 1)) continue;
      fits = fits && (dims().is_constant(dim, 1) || equal("attention", dim, other));
      dim = other;
    }
    shape.push_back(dim);
  }
  shape.push_back(from_end(q, 2));
  shape.push_back(from_end(v, 1));
  if (fits && mask) {
    const Dim rows = from_end(*mask, 2), cols = from_end(*mask, 1);
    fits = (dims().is_constant(rows, 1) || equal("attention", rows, from_end(q, 2))) &&
           (dims().is_constant(cols, 1) || equal("attention", cols, from_end(k, 2)));
  }
  if (!fits)
    fail("attention", "shapes " + shapes + " of queries, keys, values and mask do not fit");
  MemoryOrder sorted = order;
  std::ranges::sort(sorted);
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    if (sorted.size() != shape.size() || sorted[i] != static_cast<int>(i))
      fail("attention", "the memory order is not a permutation of the result's axes");
  }
  if (!order.empty() && order.back() != static_cast<int>(shape.size()) - 1)
    fail("attention", "the last axis of the result has to be the last in memory");
  std::vector<int> axes = {scoring.causal ? 1 : 0, scoring.nan_if_blind ? 1 : 0};
  axes.insert(axes.end(), order.begin(), order.end());
  return add({.kind = NodeKind::kAttention,
              .type = Type::f32,
              .operands = std::move(operands),
              .shape = std::move(shape),
              .axes = std::move(axes),
              .bits = std::bit_cast<std::uint64_t>(scoring.hidden),
              .number = scoring.scale});
}

Scoring scoring(const Node& attention) {
  return {.scale = attention.number,
          .causal = attention.axes[0] != 0,
          .hidden = std::bit_cast<double>(attention.bits),
          .nan_if_blind = attention.axes[1] != 0};
}

MemoryOrder order_of(const Node& attention) {
  return {attention.axes.begin() + 2, attention.axes.end()};
}

Value Graph::scan(Op op, Value x, int axis) {
  require(x, "scan");
  const Type type = nodes_[x].type;
  const std::vector<Dim> shape = nodes_[x].shape;
  if (op != Op::sum && op != Op::prod)
    fail("scan", std::string(info(op).name) + " came, sum or prod is wanted");
  if (type != compute(type) || type == Type::bool_) {
    fail("scan", "an operand of type " + std::string(info(type).text) +
                     " came, f32, f64, i32 or i64 is wanted");
  }
  const int rank = static_cast<int>(shape.size());
  if (axis < -rank || axis >= rank) {
    fail("scan",
         "axis " + std::to_string(axis) + " came for a tensor of rank " + std::to_string(rank));
  }
  return add({.kind = NodeKind::kScan,
              .op = op,
              .type = type,
              .operands = {x},
              .shape = shape,
              .axes = {axis < 0 ? axis + rank : axis}});
}

}  // namespace dvm

#include "graph/remake.h"

#include <optional>
#include <stdexcept>
#include <string>

#include "graph/windows.h"

namespace dvm {

Value Remaking::remake(Value value, const std::vector<Value>& operands) {
  const Node node = this->node(value);  // a copy: the Graph may be the one that grows
  if (operands.size() != node.operands.size()) {
    throw std::invalid_argument("[remake] " + std::to_string(operands.size()) + " operands came, " +
                                std::to_string(node.operands.size()) + " are wanted");
  }
  switch (node.kind) {
    case NodeKind::kInput:
    case NodeKind::kScalar:
      break;
    case NodeKind::kConstant:
      return into_.constant_bits(node.bits, node.type);
    case NodeKind::kSize:
      return into_.size(dim(node.dim), node.type);
    case NodeKind::kIota:
      return into_.iota(shape(node), node.axes[0]);
    case NodeKind::kElementwise:
      return into_.elementwise(node.op, operands);
    case NodeKind::kCast:
      return into_.cast(operands[0], node.type);
    case NodeKind::kReduce:
      return into_.reduce(node.op, operands[0], node.axes);
    case NodeKind::kPermute:
      return into_.permute(operands[0], node.axes);
    case NodeKind::kExpand:
      return into_.expand(operands[0], shape(node));
    case NodeKind::kReshape:
      return into_.reshape(operands[0], shape(node));
    case NodeKind::kSlice:
      return into_.slice(operands[0], node.axes[0], dim(node.dim), dim(node.shape[node.axes[0]]),
                         node.axes[1]);
    case NodeKind::kGather:
      return into_.gather(operands[0], operands[1], node.axes[0]);
    case NodeKind::kAttention: {
      const std::optional<Value> mask =
          operands.size() == 4 ? std::optional(operands[3]) : std::nullopt;
      return into_.attention(operands[0], operands[1], operands[2], mask, scoring(node),
                             order_of(node));
    }
    case NodeKind::kMatmul:
      if (operands.size() == 2) return into_.matmul(operands[0], operands[1]);
      if (is_grouped(node)) return into_.matmul_grouped(operands[0], operands[1], operands[2]);
      return into_.matmul_scaled(operands[0], operands[1], operands[2], bits_of(node));
    case NodeKind::kConvolve:
      return into_.convolve(operands[0], operands[1], windows(node));
    case NodeKind::kPool:
      return into_.pool(node.op, operands[0], windows(node));
    case NodeKind::kScan:
      return into_.scan(node.op, operands[0], node.axes[0]);
    case NodeKind::kConcat:
      return into_.concat(operands, node.axes[0]);
  }
  throw std::invalid_argument("[remake] %" + std::to_string(value) + " is an argument, not made");
}

const Node& Remaking::node(Value value) const {
  if (value < 0 || value >= static_cast<Value>(from_.nodes().size()))
    throw std::invalid_argument("[remake] there is no value %" + std::to_string(value));
  return from_.node(value);
}

Dim Remaking::dim(Dim dim) {
  if (&from_ == &into_) return dim;
  const auto known = dims_.find(dim);
  if (known != dims_.end()) return known->second;
  const Dim made = by_name_ ? into_.dims().parse(from_.dims().written(dim)) : translate(dim);
  return dims_[dim] = made;
}

// The same expression over the symbols that stand for those of `from_`.
Dim Remaking::translate(Dim dim) {
  Dims& dims = into_.dims();
  const Dims::Node& node = from_.dims().node(dim);
  switch (node.kind) {
    case DimKind::kConstant:
      return dims.constant(node.value);
    case DimKind::kSymbol:
      throw std::invalid_argument("[remake] nothing stands for the dimension " + node.name);
    case DimKind::kOperation: {
      const Dim a = this->dim(node.a);
      return dims.binary(node.op, a, this->dim(node.b));
    }
    case DimKind::kPolynomial:
      break;
  }
  Dim sum = dims.constant(0);
  for (const Monomial& term : node.terms) {
    Dim product = dims.constant(term.factor);
    for (const Dim atom : term.atoms)
      product = dims.binary(DimOp::kMultiply, product, this->dim(atom));
    sum = dims.binary(DimOp::kAdd, sum, product);
  }
  return sum;
}

std::vector<Dim> Remaking::shape(const Node& node) {
  std::vector<Dim> shape;
  for (const Dim size : node.shape) shape.push_back(dim(size));
  return shape;
}

}  // namespace dvm

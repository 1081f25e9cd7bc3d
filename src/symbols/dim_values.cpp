#include "symbols/dim_values.h"

#include <stdexcept>

namespace dvm {

bool DimValues::bind(Dim dim, std::int64_t value) {
  dim = dims_->find(dim);
  const std::int64_t known = get(dim);
  if (known != kUnknown) return known == value;
  values_[dim] = value;
  return true;
}

std::int64_t DimValues::get(Dim dim) const {
  dim = dims_->find(dim);
  if (values_[dim] == kUnknown) values_[dim] = compute(dim);
  return values_[dim];
}

std::int64_t DimValues::compute(Dim dim) const {
  const Dims::Node& node = dims_->node(dim);
  switch (node.kind) {
    case DimKind::kConstant:
      return node.value;
    case DimKind::kSymbol:
      return kUnknown;
    default:
      break;
  }
  try {
    if (node.kind == DimKind::kOperation) {
      const std::int64_t a = get(node.a);
      const std::int64_t b = get(node.b);
      return a == kUnknown || b == kUnknown ? kUnknown : apply(node.op, a, b);
    }
    std::int64_t sum = 0;
    for (const Monomial& term : node.terms) {
      std::int64_t product = term.factor;
      for (const Dim atom : term.atoms) {
        const std::int64_t value = get(atom);
        if (value == kUnknown) return kUnknown;
        product = checked_multiply(product, value);
      }
      sum = checked_add(sum, product);
    }
    return sum;
  } catch (const Overflow&) {
    throw std::invalid_argument("[dim] " + dims_->written(dim) + " does not fit 64 bits");
  }
}

}  // namespace dvm

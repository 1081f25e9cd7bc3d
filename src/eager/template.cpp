#include "eager/template.h"

#include <algorithm>
#include <stdexcept>

#include "symbols/dim_values.h"

namespace dvm::eager {

Template::Template(std::string name, Graph graph, std::vector<int> writes)
    : name_(std::move(name)),
      graph_(std::move(graph)),
      writes_(std::move(writes)),
      changes_(std::ranges::any_of(writes_, [](int operand) { return operand >= 0; })) {
  if (writes_.size() != graph_.outputs().size())
    throw std::invalid_argument("[" + name_ + "] wants to know of each result where it goes");
  for (const Value output : graph_.outputs()) {
    std::vector<Size>& sizes = results_.emplace_back();
    for (const Dim dim : graph_.node(output).shape) sizes.push_back(size_of(dim));
  }
}

Template::Size Template::size_of(Dim dim) const {
  const Dims& dims = graph_.dims();
  if (dims.is_constant(dim)) return {.constant = dims.value(dim)};
  for (std::size_t i = 0; i < graph_.inputs().size(); ++i) {
    const std::vector<Dim>& shape = graph_.node(graph_.inputs()[i]).shape;
    for (std::size_t axis = 0; axis < shape.size(); ++axis) {
      if (dims.same(shape[axis], dim))
        return {.operand = static_cast<int>(i), .axis = static_cast<int>(axis)};
    }
  }
  return {.dim = dim};
}

std::int64_t Template::compute(Dim dim, std::span<const TensorView> operands) const {
  DimValues values(graph_.dims());
  for (std::size_t i = 0; i < operands.size(); ++i) {
    const std::vector<Dim>& shape = graph_.node(graph_.inputs()[i]).shape;
    for (std::size_t axis = 0; axis < shape.size(); ++axis) {
      if (!values.bind(shape[axis], operands[i].sizes[axis]))
        throw std::invalid_argument("[" + name_ + "] was made for other sizes");
    }
  }
  return values.get(dim);
}

Layout Template::layout(int result, std::span<const TensorView> operands) const {
  std::int64_t sizes[kMaxRank];
  int rank = 0;
  for (const Size& size : results_[result]) {
    sizes[rank++] = size.operand >= 0    ? operands[size.operand].sizes[size.axis]
                    : size.constant >= 0 ? size.constant
                                         : compute(size.dim, operands);
  }
  return dense({sizes, static_cast<std::size_t>(rank)}, bytes(type(result)),
               graph_.orders()[result]);
}

}  // namespace dvm::eager

// Random expressions of dimensions, and values for their symbols, for dims_test.cpp and facts_test.cpp.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <random>
#include <string>

#include "symbols/dim_values.h"
#include "symbols/facts.h"

namespace dvm {

using Values = std::map<std::string, std::int64_t>;

inline std::int64_t evaluate(const Dims& dims, Dim dim, const Values& values) {
  const Dims::Node& node = dims.node(dim);
  switch (node.kind) {
    case DimKind::kConstant:
      return node.value;
    case DimKind::kSymbol:
      return values.at(node.name);
    case DimKind::kOperation:
      return apply(node.op, evaluate(dims, node.a, values), evaluate(dims, node.b, values));
    case DimKind::kPolynomial:
      break;
  }
  std::int64_t sum = 0;
  for (const Monomial& term : node.terms) {
    std::int64_t product = term.factor;
    for (const Dim atom : term.atoms) product *= evaluate(dims, atom, values);
    sum += product;
  }
  return sum;
}

// An expression made twice: as a Dim, and as a function that knows nothing of canonical forms.
struct Expression {
  Dim dim;
  std::function<std::int64_t(const Values&)> value;
};

inline Expression random_expression(Dims& dims, std::mt19937& random, int depth) {
  if (depth == 0 || random() % 6 == 0) {
    if (random() % 3 == 0) {
      const auto number = static_cast<std::int64_t>(random() % 13) - 4;
      return {dims.constant(number), [number](const Values&) { return number; }};
    }
    const std::string name(1, static_cast<char>('a' + random() % 4));
    return {dims.symbol(name), [name](const Values& values) { return values.at(name); }};
  }
  const auto op = static_cast<DimOp>(random() % 7);
  const Expression x = random_expression(dims, random, depth - 1);
  const Expression y = random_expression(dims, random, depth - 1);
  return {dims.binary(op, x.dim, y.dim),
          [op, x, y](const Values& values) { return apply(op, x.value(values), y.value(values)); }};
}

inline Values random_values(std::mt19937& random) {
  Values values;
  for (const char* name : {"a", "b", "c", "d"})
    values[name] = static_cast<std::int64_t>(random() % 20);
  return values;
}

}  // namespace dvm

// Polynomials over atoms (symbols, and operations that do not expand) with whole coefficients, as plain values. The
// sum and product of two are in canonical form again, so equal polynomials are equal vectors. Dims (dim.h) gives each an id.
#pragma once

#include <cstdint>
#include <exception>
#include <vector>

namespace dvm {

/// A dimension of a Graph: an index into its `Dims`.
using Dim = std::int32_t;

/// Thrown where a coefficient would leave 64 bits.
struct Overflow : std::exception {};

/// `factor` times the product of `atoms`, which are sorted and may repeat. No atoms: the constant term.
struct Monomial {
  std::int64_t factor = 0;
  std::vector<Dim> atoms;
  bool operator==(const Monomial&) const = default;
};

/// Sorted by atoms, without zero factors; empty is zero.
using Polynomial = std::vector<Monomial>;

/// Throw Overflow instead of wrapping.
std::int64_t checked_add(std::int64_t a, std::int64_t b);
std::int64_t checked_multiply(std::int64_t a, std::int64_t b);
/// Division and remainder that round down; `b` is not 0.
std::int64_t floor_div(std::int64_t a, std::int64_t b);
std::int64_t floor_mod(std::int64_t a, std::int64_t b);

Polynomial polynomial_of(std::int64_t value);
Polynomial polynomial_of_atom(Dim atom);
bool is_number(const Polynomial& p);
std::int64_t constant_term(const Polynomial& p);

Polynomial add(const Polynomial& a, const Polynomial& b);
Polynomial scale(const Polynomial& a, std::int64_t factor);
Polynomial subtract(const Polynomial& a, const Polynomial& b);
Polynomial multiply(const Polynomial& a, const Polynomial& b);

/// The greatest common divisor of the factors of everything but the constant term; 0 for a constant.
std::int64_t content(const Polynomial& p);
/// Each factor divided by `divisor` and rounded down; the caller knows which of them are whole.
Polynomial divide(const Polynomial& p, std::int64_t divisor);

}  // namespace dvm

#include "symbols/polynomial.h"

#include <algorithm>
#include <numeric>

namespace dvm {
namespace {

bool before(const Monomial& a, const Monomial& b) { return a.atoms < b.atoms; }

}  // namespace

std::int64_t checked_add(std::int64_t a, std::int64_t b) {
  std::int64_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) throw Overflow{};
  return sum;
}

std::int64_t checked_multiply(std::int64_t a, std::int64_t b) {
  std::int64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) throw Overflow{};
  return product;
}

std::int64_t floor_div(std::int64_t a, std::int64_t b) {
  if (b == -1) return checked_multiply(a, -1);
  const std::int64_t q = a / b;
  return (a % b != 0 && (a < 0) != (b < 0)) ? q - 1 : q;
}

std::int64_t floor_mod(std::int64_t a, std::int64_t b) {
  if (b == -1) return 0;
  const std::int64_t r = a % b;
  return (r != 0 && (r < 0) != (b < 0)) ? r + b : r;
}

Polynomial polynomial_of(std::int64_t value) {
  return value == 0 ? Polynomial{} : Polynomial{{value, {}}};
}

Polynomial polynomial_of_atom(Dim atom) { return {{1, {atom}}}; }

bool is_number(const Polynomial& p) { return p.empty() || (p.size() == 1 && p[0].atoms.empty()); }

std::int64_t constant_term(const Polynomial& p) {
  return p.empty() || !p[0].atoms.empty() ? 0 : p[0].factor;
}

Polynomial add(const Polynomial& a, const Polynomial& b) {
  Polynomial sum;
  sum.reserve(a.size() + b.size());
  auto i = a.begin(), j = b.begin();
  while (i != a.end() || j != b.end()) {
    if (j == b.end() || (i != a.end() && before(*i, *j))) {
      sum.push_back(*i++);
    } else if (i == a.end() || before(*j, *i)) {
      sum.push_back(*j++);
    } else {
      const std::int64_t factor = checked_add(i->factor, j->factor);
      if (factor != 0) sum.push_back({factor, i->atoms});
      ++i, ++j;
    }
  }
  return sum;
}

Polynomial scale(const Polynomial& a, std::int64_t factor) {
  if (factor == 0) return {};
  Polynomial scaled = a;
  for (Monomial& term : scaled) term.factor = checked_multiply(term.factor, factor);
  return scaled;
}

Polynomial subtract(const Polynomial& a, const Polynomial& b) { return add(a, scale(b, -1)); }

Polynomial multiply(const Polynomial& a, const Polynomial& b) {
  Polynomial terms;
  terms.reserve(a.size() * b.size());
  for (const Monomial& x : a) {
    for (const Monomial& y : b) {
      Monomial& term = terms.emplace_back();
      term.factor = checked_multiply(x.factor, y.factor);
      term.atoms.resize(x.atoms.size() + y.atoms.size());
      std::ranges::merge(x.atoms, y.atoms, term.atoms.begin());
    }
  }
  std::ranges::sort(terms, before);
  Polynomial product;
  for (Monomial& term : terms) {
    if (!product.empty() && product.back().atoms == term.atoms) {
      product.back().factor = checked_add(product.back().factor, term.factor);
    } else {
      if (!product.empty() && product.back().factor == 0) product.pop_back();
      product.push_back(std::move(term));
    }
  }
  if (!product.empty() && product.back().factor == 0) product.pop_back();
  return product;
}

std::int64_t content(const Polynomial& p) {
  std::int64_t divisor = 0;
  for (const Monomial& term : p) {
    // The one number without a positive counterpart has few divisors of interest.
    if (term.factor == INT64_MIN) return 1;
    if (!term.atoms.empty()) divisor = std::gcd(divisor, term.factor);
  }
  return divisor;
}

Polynomial divide(const Polynomial& p, std::int64_t divisor) {
  Polynomial quotient;
  for (const Monomial& term : p) {
    const std::int64_t factor = floor_div(term.factor, divisor);
    if (factor != 0) quotient.push_back({factor, term.atoms});
  }
  return quotient;
}

}  // namespace dvm

#include "symbols/dim.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>

namespace dvm {
namespace {

// Longer sums and products stay as they are written, so that no graph can make shapes cost much.
constexpr std::size_t kMaxTerms = 64;
constexpr std::size_t kMaxAtoms = 16;
constexpr int kMaxVisits = 64;  // how far an expression is searched for a symbol

constexpr std::int64_t kPolynomialKey = 100;
constexpr std::int64_t kConstantKey = 101;

// The difference when it is a number, which decides which of two is the larger.
bool constant_difference(const Polynomial& a, const Polynomial& b, std::int64_t& difference) {
  const Polynomial p = subtract(a, b);
  difference = constant_term(p);
  return is_number(p);
}

}  // namespace

std::int64_t apply(DimOp op, std::int64_t a, std::int64_t b) {
  switch (op) {
    case DimOp::kAdd:
      return checked_add(a, b);
    case DimOp::kSubtract:
      return checked_add(a, checked_multiply(b, -1));
    case DimOp::kMultiply:
      return checked_multiply(a, b);
    case DimOp::kFloorDiv:
      return b == 0 ? 0 : floor_div(a, b);
    case DimOp::kMod:
      return b == 0 ? 0 : floor_mod(a, b);
    case DimOp::kMin:
      return std::min(a, b);
    case DimOp::kMax:
      return std::max(a, b);
  }
  return 0;
}

std::size_t Dims::Hash::operator()(const std::vector<std::int64_t>& key) const {
  std::uint64_t h = 0x9e3779b97f4a7c15u;
  for (const std::int64_t word : key) {
    h = (h ^ static_cast<std::uint64_t>(word)) * 0xff51afd7ed558ccdu;
    h ^= h >> 32;
  }
  return h;
}

Dim Dims::intern(std::vector<std::int64_t> key, Node node) {
  const auto [it, fresh] = interned_.try_emplace(std::move(key), static_cast<Dim>(nodes_.size()));
  if (!fresh) return it->second;
  const Dim dim = it->second;
  for (const Monomial& term : node.terms) {
    for (const Dim atom : term.atoms) {
      if (users_[atom].empty() || users_[atom].back() != dim) users_[atom].push_back(dim);
    }
  }
  for (const Dim argument : {node.a, node.b}) {
    if (argument >= 0) users_[argument].push_back(dim);
  }
  parent_.push_back(dim);
  name_.push_back(node.kind == DimKind::kSymbol ? dim : -1);
  users_.emplace_back();
  rewritten_.push_back(0);
  nodes_.push_back(std::move(node));
  return dim;
}

Dim Dims::constant(std::int64_t value) {
  return intern({kConstantKey, value}, {.kind = DimKind::kConstant, .value = value});
}

Dim Dims::symbol(const std::string& name) {
  const auto [it, fresh] = symbols_.try_emplace(name, static_cast<Dim>(nodes_.size()));
  if (fresh)
    intern({-1, static_cast<std::int64_t>(nodes_.size())},
           {.kind = DimKind::kSymbol, .name = name});
  return it->second;
}

std::vector<std::int64_t> Dims::key_of(const Polynomial& polynomial) {
  std::vector<std::int64_t> key{kPolynomialKey};
  for (const Monomial& term : polynomial) {
    key.push_back(term.factor);
    key.push_back(static_cast<std::int64_t>(term.atoms.size()));
    key.insert(key.end(), term.atoms.begin(), term.atoms.end());
  }
  return key;
}

Dim Dims::make(const Polynomial& polynomial) {
  if (is_number(polynomial)) return constant(constant_term(polynomial));
  if (polynomial.size() == 1 && polynomial[0].factor == 1 && polynomial[0].atoms.size() == 1)
    return polynomial[0].atoms[0];
  return intern(key_of(polynomial), {.kind = DimKind::kPolynomial, .terms = polynomial});
}

Dim Dims::look_up(const Polynomial& polynomial) const {
  if (polynomial.size() == 1 && polynomial[0].factor == 1 && polynomial[0].atoms.size() == 1)
    return polynomial[0].atoms[0];
  const auto it = interned_.find(
      is_number(polynomial) ? std::vector<std::int64_t>{kConstantKey, constant_term(polynomial)}
                            : key_of(polynomial));
  return it == interned_.end() ? -1 : it->second;
}

Dim Dims::look_up(const std::string& name) const {
  const auto it = symbols_.find(name);
  return it == symbols_.end() ? -1 : it->second;
}

Polynomial Dims::polynomial(Dim dim) const {
  dim = find(dim);
  const Node& node = nodes_[dim];
  if (node.kind == DimKind::kConstant) return polynomial_of(node.value);
  return node.kind == DimKind::kPolynomial ? node.terms : polynomial_of_atom(dim);
}

Dim Dims::binary(DimOp op, Dim a, Dim b) {
  try {
    return combine(op, find(a), find(b));
  } catch (const Overflow&) {
    constexpr const char* kNames[] = {"+", "-", "*", "//", "%", "min", "max"};
    throw std::invalid_argument("[dim] " + text(a) + " " + kNames[static_cast<int>(op)] + " " +
                                text(b) + " does not fit 64 bits");
  }
}

Dim Dims::combine(DimOp op, Dim a, Dim b) {
  if (is_constant(a) && is_constant(b)) return constant(apply(op, value(a), value(b)));
  switch (op) {
    case DimOp::kSubtract:
    case DimOp::kAdd: {
      const Polynomial p = polynomial(a), q = polynomial(b);
      const Polynomial sum = op == DimOp::kAdd ? add(p, q) : subtract(p, q);
      if (sum.size() <= kMaxTerms) return make(sum);
      return operation(DimOp::kAdd, a, op == DimOp::kAdd ? b : make(scale(q, -1)));
    }
    case DimOp::kMultiply: {
      const Polynomial p = polynomial(a), q = polynomial(b);
      const auto degree = [](const Polynomial& of) {
        std::size_t most = 0;
        for (const Monomial& term : of) most = std::max(most, term.atoms.size());
        return most;
      };
      if (is_number(p) || is_number(q)) return make(multiply(p, q));
      // A product that is kept as written stays one factor: each term would repeat its text.
      const auto kept = [this](Dim dim) {
        return nodes_[dim].kind == DimKind::kOperation && nodes_[dim].op == DimOp::kMultiply;
      };
      const bool repeats = (kept(a) && q.size() > 1) || (kept(b) && p.size() > 1);
      if (repeats || p.size() * q.size() > kMaxTerms || degree(p) + degree(q) > kMaxAtoms)
        return operation(op, a, b);
      return make(multiply(p, q));
    }
    case DimOp::kFloorDiv:
    case DimOp::kMod: {
      if (is_constant(a, 0)) return a;
      const bool divides = op == DimOp::kFloorDiv;
      if (is_constant(b)) {
        const std::int64_t divisor = value(b);
        if (divisor == 0) return b;
        if (divisor > 0)
          return divides ? divide_by_constant(a, divisor) : remainder_by_constant(a, divisor);
        // x // -k == -x // k and x % -k == -(-x % k)
        const Dim minus_a = make(scale(polynomial(a), -1));
        const std::int64_t positive = checked_multiply(divisor, -1);
        if (divides) return divide_by_constant(minus_a, positive);
        return make(scale(polynomial(remainder_by_constant(minus_a, positive)), -1));
      }
      const Polynomial p = polynomial(a), q = polynomial(b);
      std::int64_t common = std::gcd(content(p), content(q));
      common = std::gcd(std::gcd(common, constant_term(p)), constant_term(q));
      if (common <= 1) return operation(op, a, b);
      const Dim reduced = operation(op, make(divide(p, common)), make(divide(q, common)));
      return divides ? reduced : make(scale(polynomial(reduced), common));
    }
    default:
      return extreme(op, a, b);
  }
}

Dim Dims::operation(DimOp op, Dim a, Dim b) {
  const bool commutes = op != DimOp::kFloorDiv && op != DimOp::kMod;
  if (commutes && b < a) std::swap(a, b);
  return intern({static_cast<std::int64_t>(op), a, b},
                {.kind = DimKind::kOperation, .op = op, .a = a, .b = b});
}

// What the divisor divides leaves the division: (n*4+m+9)//4 is n + (m+1)//4 + 2.
Dim Dims::divide_by_constant(Dim a, std::int64_t divisor) {
  if (divisor == 1) return a;
  Polynomial p = polynomial(a);
  // -x // k is -((x + k-1) // k): one form for the two ways to round up.
  std::int64_t weight = 0;
  for (const Monomial& term : p) weight = checked_add(weight, term.atoms.empty() ? 0 : term.factor);
  if (weight < 0) {
    const Polynomial up = add(scale(p, -1), polynomial_of(divisor - 1));
    return make(scale(polynomial(divide_by_constant(make(up), divisor)), -1));
  }
  Polynomial whole, rest;
  for (const Monomial& term : p) {
    const bool number = term.atoms.empty();
    const std::int64_t quotient = number ? floor_div(term.factor, divisor) : term.factor / divisor;
    const std::int64_t left = term.factor - quotient * divisor;
    if (quotient != 0) whole.push_back({quotient, term.atoms});
    if (left != 0) rest.push_back({left, term.atoms});
  }
  const std::int64_t common = std::gcd(content(rest), divisor);
  if (is_number(rest)) return make(whole);
  if (common > 1) {
    rest = divide(rest, common);
    divisor /= common;
    if (divisor == 1) return make(add(whole, rest));
  }
  // (x//a + c) // b is (x + c*a) // (a*b)
  const Monomial& last = rest.back();
  if (last.factor == 1 && last.atoms.size() == 1 && rest.size() == (constant_term(rest) ? 2 : 1)) {
    const Node inner = nodes_[last.atoms[0]];
    if (inner.kind == DimKind::kOperation && inner.op == DimOp::kFloorDiv && is_constant(inner.b) &&
        value(inner.b) > 0) {
      const std::int64_t by = value(inner.b);
      const Polynomial x =
          add(polynomial(inner.a), polynomial_of(checked_multiply(constant_term(rest), by)));
      const Dim both = divide_by_constant(make(x), checked_multiply(by, divisor));
      return make(add(whole, polynomial(both)));
    }
  }
  const Dim quotient = operation(DimOp::kFloorDiv, make(rest), constant(divisor));
  return make(add(whole, polynomial(find(quotient))));
}

Dim Dims::remainder_by_constant(Dim a, std::int64_t divisor) {
  Polynomial rest;
  for (const Monomial& term : polynomial(a)) {
    const std::int64_t left = floor_mod(term.factor, divisor);
    if (left != 0) rest.push_back({left, term.atoms});
  }
  if (is_number(rest)) return constant(constant_term(rest));
  // (x*g + c) % (k*g) is (x + c//g) % k * g + c%g
  const std::int64_t common = std::gcd(content(rest), divisor);
  const std::int64_t left = floor_mod(constant_term(rest), common);
  rest = divide(rest, common);
  divisor /= common;
  if (divisor == 1) return constant(left);
  const Dim remainder = find(operation(DimOp::kMod, make(rest), constant(divisor)));
  return make(add(scale(polynomial(remainder), common), polynomial_of(left)));
}

Dim Dims::extreme(DimOp op, Dim a, Dim b) {
  // min(a, b) as a list: nested ones join in, of two that differ by a number one goes.
  std::vector<Dim> left{a, b}, arguments;
  while (!left.empty() && arguments.size() < kMaxTerms) {
    const Dim next = find(left.back());
    left.pop_back();
    const Node& node = nodes_[next];
    if (node.kind == DimKind::kOperation && node.op == op) {
      left.insert(left.end(), {node.a, node.b});
      continue;
    }
    bool needed = true;
    for (Dim& known : arguments) {
      std::int64_t difference = 0;
      if (!constant_difference(polynomial(next), polynomial(known), difference)) continue;
      needed = false;
      if ((op == DimOp::kMin) == (difference < 0)) known = next;
    }
    if (needed) arguments.push_back(next);
  }
  if (!left.empty()) return operation(op, a, b);
  // min(a, max(a, b)) is a
  std::erase_if(arguments, [&](Dim argument) {
    const Node& node = nodes_[argument];
    const DimOp other = op == DimOp::kMin ? DimOp::kMax : DimOp::kMin;
    if (node.kind != DimKind::kOperation || node.op != other) return false;
    return std::ranges::any_of(arguments, [&](Dim inside) {
      return inside != argument && (find(node.a) == inside || find(node.b) == inside);
    });
  });
  std::ranges::sort(arguments);
  Dim made = arguments[0];
  for (std::size_t i = 1; i < arguments.size(); ++i) made = operation(op, made, arguments[i]);
  return made;
}

bool Dims::mentions(Dim dim, Dim atom) const {
  std::vector<Dim> left{dim};
  for (int visits = 0; !left.empty(); ++visits) {
    const Dim at = left.back();
    left.pop_back();
    if (at == atom || visits == kMaxVisits) return true;
    const Node& node = nodes_[at];
    if (node.kind == DimKind::kOperation) left.insert(left.end(), {find(node.a), find(node.b)});
    for (const Monomial& term : node.terms) {
      for (const Dim part : term.atoms) left.push_back(find(part));
    }
  }
  return false;
}

}  // namespace dvm

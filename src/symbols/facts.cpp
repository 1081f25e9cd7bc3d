#include "symbols/facts.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>

namespace dvm {
namespace {

constexpr int kMaxVisits = 64;      // parts of an expression that one question looks at
constexpr std::size_t kTerms = 64;  // of a product of dimensions

// Arithmetic on the ends of ranges: what leaves 64 bits has no end.
std::int64_t plus(std::int64_t a, std::int64_t b, std::int64_t endless) {
  std::int64_t sum = 0;
  if (a == Range::kLeast || a == Range::kMost || b == Range::kLeast || b == Range::kMost)
    return endless;
  return __builtin_add_overflow(a, b, &sum) ? endless : sum;
}

std::int64_t times(std::int64_t a, std::int64_t b) {
  if (a == 0 || b == 0) return 0;
  const std::int64_t endless = (a < 0) == (b < 0) ? Range::kMost : Range::kLeast;
  std::int64_t product = 0;
  if (a == Range::kLeast || a == Range::kMost || b == Range::kLeast || b == Range::kMost)
    return endless;
  return __builtin_mul_overflow(a, b, &product) ? endless : product;
}

Range times(const Range& a, const Range& b) {
  const auto [low, high] = std::minmax(
      {times(a.low, b.low), times(a.low, b.high), times(a.high, b.low), times(a.high, b.high)});
  return {low, high};
}

Range plus(const Range& a, const Range& b) {
  return {plus(a.low, b.low, Range::kLeast), plus(a.high, b.high, Range::kMost)};
}

Range meet(const Range& a, const Range& b) {
  return {std::max(a.low, b.low), std::min(a.high, b.high)};
}

std::int64_t divided(std::int64_t end, std::int64_t by) {
  return end == Range::kLeast || end == Range::kMost ? end : floor_div(end, by);
}

// The smallest common multiple, or one of the two where it would leave 64 bits.
std::int64_t common_multiple(std::int64_t a, std::int64_t b) {
  if (a == 0 || b == 0) return 0;
  std::int64_t product = 0;
  return __builtin_mul_overflow(a / std::gcd(a, b), b, &product) ? std::max(a, b) : product;
}

std::int64_t magnitude(std::int64_t value) {
  return value == Range::kLeast ? Range::kMost : std::abs(value);
}

}  // namespace

std::string text(const Dims& dims, const Fact& fact) {
  std::string joined(kFactKinds[static_cast<int>(fact.kind)]);
  joined += "(" + dims.written(fact.a);
  if (fact.kind == FactKind::kEqual) joined += ", " + dims.written(fact.b);
  for (const std::int64_t number : fact.numbers) joined += ", " + std::to_string(number);
  return joined + ")";
}

bool Facts::state(Fact fact) {
  const auto wants = [&](bool sound, const char* what) {
    if (!sound) throw std::invalid_argument("[fact] " + text(dims_, fact) + ": " + what);
  };
  Known more;
  switch (fact.kind) {
    case FactKind::kEqual:
      break;
    case FactKind::kMultiple:
      wants(fact.numbers.size() == 1 && fact.numbers[0] > 0,
            "a multiple is of one positive number");
      more.divisor = fact.numbers[0];
      break;
    case FactKind::kRange:
      wants(fact.numbers.size() == 2, "a range has a lower and an upper end");
      more.range = {fact.numbers[0], fact.numbers[1]};
      break;
    case FactKind::kLikely:
      wants(!fact.numbers.empty(), "likely values are wanted");
      more.likely = fact.numbers;
      break;
  }
  stated_.push_back(fact);
  if (fact.kind == FactKind::kEqual) return dims_.unify(fact.a, fact.b) && settle();
  if (!narrow(fact.a, more)) return false;
  if (fact.kind != FactKind::kMultiple) return settle();
  const Dim remainder = dims_.binary(DimOp::kMod, fact.a, dims_.constant(fact.numbers[0]));
  return dims_.unify(remainder, dims_.constant(0)) && settle();
}

bool Facts::equal(Dim a, Dim b, const std::string& source, int position) {
  if (dims_.same(a, b)) return true;
  stated_.push_back({FactKind::kEqual, a, b, {}, source, false, position});
  return dims_.unify(a, b) && settle();
}

// Adds to what is known of a representative.
bool Facts::narrow(Dim dim, const Known& more) {
  dim = dims_.find(dim);
  Known& here = known_[dim];
  here.range = meet(here.range, more.range);
  here.divisor = common_multiple(here.divisor, more.divisor);
  here.likely.insert(here.likely.end(), more.likely.begin(), more.likely.end());
  const Range all = range(dim);
  if (all.low > all.high) return false;
  if (dims_.is_constant(dim))
    return dims_.value(dim) % std::max<std::int64_t>(here.divisor, 1) == 0;
  if (all.low == all.high) return dims_.unify(dim, dims_.constant(all.low));
  // A remainder of 0 is a divisor, whoever found it.
  return true;
}

// Carries what is known of dimensions that have a new representative over to it.
bool Facts::settle() {
  for (std::vector<Dim> moved = dims_.take_moved(); !moved.empty(); moved = dims_.take_moved()) {
    for (const Dim dim : moved) {
      const Dims::Node& node = dims_.node(dim);
      const bool remainder = node.kind == DimKind::kOperation && node.op == DimOp::kMod;
      if (remainder && dims_.is_constant(dim, 0) && dims_.is_constant(node.b) &&
          dims_.value(node.b) > 0) {
        if (!narrow(node.a, {.range = {}, .divisor = dims_.value(node.b), .likely = {}}))
          return false;
      }
      const auto it = known_.find(dim);
      if (it == known_.end()) continue;
      const Known known = std::move(it->second);
      known_.erase(it);
      if (!narrow(dim, known)) return false;
    }
  }
  return true;
}

const Facts::Known* Facts::known(Dim dim) const {
  const auto it = known_.find(dims_.find(dim));
  return it == known_.end() ? nullptr : &it->second;
}

Range Facts::range(Dim dim) const {
  int visits = kMaxVisits;
  return range_within(dim, visits);
}

Range Facts::range_within(Dim dim, int& visits) const {
  dim = dims_.find(dim);
  const Dims::Node& node = dims_.node(dim);
  if (node.kind == DimKind::kConstant) return {node.value, node.value};
  Range found = node.kind == DimKind::kSymbol ? Range{0, Range::kMost} : Range{};
  if (const Known* stated = known(dim)) found = meet(found, stated->range);
  if (--visits <= 0 || node.kind == DimKind::kSymbol) return found;
  if (node.kind == DimKind::kPolynomial) return meet(found, range_within(node.terms, visits));
  const Range a = range_within(node.a, visits);
  const Range b = range_within(node.b, visits);
  switch (node.op) {
    case DimOp::kAdd:
      return meet(found, plus(a, b));
    case DimOp::kMultiply:
      return meet(found, times(a, b));
    case DimOp::kMin:
      return meet(found, {std::min(a.low, b.low), std::min(a.high, b.high)});
    case DimOp::kMax:
      return meet(found, {std::max(a.low, b.low), std::max(a.high, b.high)});
    case DimOp::kMod:
      if (b.low <= 0) return a.low >= 0 && b.low == 0 ? meet(found, {0, a.high}) : found;
      return meet(found, {0, a.low >= 0 ? std::min(a.high, b.high - 1) : b.high - 1});
    case DimOp::kFloorDiv:
      if (a.low < 0 || b.low < 0) {
        if (b.low != b.high || b.low <= 0) return found;
        return meet(found, {divided(a.low, b.low), divided(a.high, b.low)});
      }
      return meet(found, {b.low == 0 || b.high == Range::kMost ? 0 : divided(a.low, b.high),
                          divided(a.high, std::max<std::int64_t>(b.low, 1))});
    default:
      return found;
  }
}

Range Facts::range_within(const Polynomial& polynomial, int& visits) const {
  Range sum{0, 0};
  for (const Monomial& term : polynomial) {
    Range product{term.factor, term.factor};
    // An even power is not negative, which the product of two ranges does not see; sizes never are.
    for (const Dim atom : term.atoms) product = times(product, range_within(atom, visits));
    sum = plus(sum, product);
  }
  return sum;
}

std::int64_t Facts::divisor(Dim dim) const {
  int visits = kMaxVisits;
  return divisor_within(dim, visits);
}

std::int64_t Facts::divisor_within(Dim dim, int& visits) const {
  dim = dims_.find(dim);
  const Dims::Node& node = dims_.node(dim);
  if (node.kind == DimKind::kConstant) return magnitude(node.value);
  const Known* stated = known(dim);
  const std::int64_t found = stated ? stated->divisor : 1;
  if (--visits <= 0 || node.kind == DimKind::kSymbol) return found;
  std::int64_t derived = 1;
  if (node.kind == DimKind::kPolynomial) {
    derived = divisor_within(node.terms, visits);
  } else if (node.op == DimOp::kMultiply) {
    const std::int64_t a = divisor_within(node.a, visits), b = divisor_within(node.b, visits);
    derived = __builtin_mul_overflow(a, b, &derived) ? a : derived;
  } else if (node.op == DimOp::kFloorDiv) {
    const std::int64_t a = divisor_within(node.a, visits);
    const std::int64_t b = dims_.is_constant(node.b) ? dims_.value(node.b) : 0;
    derived = b > 0 && a % b == 0 ? a / b : 1;
  } else {
    derived = std::gcd(divisor_within(node.a, visits), divisor_within(node.b, visits));
  }
  return common_multiple(found, derived);
}

std::int64_t Facts::divisor_within(const Polynomial& polynomial, int& visits) const {
  std::int64_t common = 0;
  for (const Monomial& term : polynomial) {
    std::int64_t product = magnitude(term.factor);
    for (const Dim atom : term.atoms) {
      const std::int64_t divisor = divisor_within(atom, visits);
      std::int64_t larger = 0;
      if (!__builtin_mul_overflow(product, divisor, &larger)) product = larger;
    }
    common = std::gcd(common, product);
  }
  // What was stated of a+b holds for (a+b)*3 as well.
  const std::int64_t whole = content(polynomial);
  if (whole > 1 && constant_term(polynomial) % whole == 0) {
    const Dim part = dims_.look_up(divide(polynomial, whole));
    std::int64_t product = 0;
    if (const Known* stated = part < 0 ? nullptr : known(part);
        stated && !__builtin_mul_overflow(whole, stated->divisor, &product))
      common = common_multiple(common, product);
  }
  return common;
}

bool Facts::divisible(Dim dim, std::int64_t by) const {
  const std::int64_t known = divisor(dim);
  return by != 0 ? known % by == 0 : known == 0;
}

bool Facts::could_be(Dim dim, std::int64_t value) const {
  const Range within = range(dim);
  if (value < within.low || value > within.high) return false;
  const std::int64_t known = divisor(dim);
  return known == 0 ? value == 0 : value % known == 0;
}

std::vector<std::int64_t> Facts::likely(Dim dim) const {
  const Known* stated = known(dim);
  return stated ? stated->likely : std::vector<std::int64_t>{};
}

// Writes x//k as x/k where k divides x: the polynomial becomes one over `divided_by`. False if nothing changed.
bool Facts::exact(Polynomial& polynomial, std::int64_t& divided_by) const {
  const auto quotient = [&](Dim atom) -> const Dims::Node* {
    const Dims::Node& node = dims_.node(atom);
    const bool divides = node.kind == DimKind::kOperation && node.op == DimOp::kFloorDiv &&
                         dims_.is_constant(node.b) && divisible(node.a, dims_.value(node.b));
    return divides ? &node : nullptr;
  };
  for (const Monomial& term : polynomial) {
    for (const Dim atom : term.atoms) {
      const Dims::Node* division = quotient(atom);
      if (division == nullptr) continue;
      const std::int64_t k = dims_.value(division->b);
      // Only the first such factor of a term goes now; the others follow in later rounds.
      Polynomial over;
      for (const Monomial& other : polynomial) {
        Monomial rest = other;
        const auto at = std::ranges::find(rest.atoms, atom);
        if (at == rest.atoms.end()) {
          over = add(over, scale({rest}, k));
        } else {
          rest.atoms.erase(at);
          over = add(over, multiply({rest}, dims_.polynomial(division->a)));
        }
      }
      polynomial = std::move(over);
      divided_by = checked_multiply(divided_by, k);
      return polynomial.size() <= kTerms;
    }
  }
  return false;
}

bool Facts::equal_products(Polynomial a, Polynomial b) const {
  if (a == b) return true;
  const Dim x = dims_.look_up(a), y = dims_.look_up(b);
  if (x >= 0 && y >= 0 && dims_.same(x, y)) return true;
  try {
    std::int64_t under_a = 1, under_b = 1;
    while (exact(a, under_a)) {
    }
    while (exact(b, under_b)) {
    }
    return scale(a, under_b) == scale(b, under_a);
  } catch (const Overflow&) {
    return false;
  }
}

bool Facts::same(Dim a, Dim b) const {
  return dims_.same(a, b) || equal_products(dims_.polynomial(a), dims_.polynomial(b));
}

bool Facts::same_shape(std::span<const Dim> a, std::span<const Dim> b) const {
  return std::ranges::equal(a, b, [this](Dim x, Dim y) { return same(x, y); });
}

bool Facts::same_count(std::span<const Dim> a, std::span<const Dim> b) const {
  const auto product = [this](std::span<const Dim> shape) {
    Polynomial all = polynomial_of(1);
    for (const Dim dim : shape) {
      const Polynomial next = dims_.polynomial(dim);
      if (all.size() * next.size() > kTerms) throw Overflow{};
      all = multiply(all, next);
    }
    return all;
  };
  if (same_shape(a, b)) return true;
  try {
    return equal_products(product(a), product(b));
  } catch (const Overflow&) {
    return false;
  }
}

std::vector<DimGroup> Facts::groups(std::span<const Dim> from, std::span<const Dim> to) const {
  std::vector<DimGroup> groups;
  const int m = static_cast<int>(from.size()), n = static_cast<int>(to.size());
  int i = 0, j = 0;
  // The next pair of prefixes with equal products closes a group; prefixes are as short as ranks.
  while (i < m && j < n) {
    DimGroup next{i, m, j, n};
    for (int length = 2; length <= m - i + n - j && next.from_end == m && next.to_end == n;
         ++length) {
      for (int a = std::max(1, length - (n - j)); a <= std::min(m - i, length - 1); ++a) {
        const int b = length - a;
        if (i + a == m && j + b == n) continue;
        if (!same_count(from.subspan(i, a), to.subspan(j, b))) continue;
        next.from_end = i + a;
        next.to_end = j + b;
        break;
      }
    }
    groups.push_back(next);
    i = next.from_end;
    j = next.to_end;
  }
  if (i < m || j < n) groups.push_back({i, m, j, n});
  return groups;
}

}  // namespace dvm

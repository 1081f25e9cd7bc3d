// Equality of dimensions (the part of Dims that changes what is known). An equation that can be solved for a symbol
// replaces the symbol everywhere: each dimension made of it is rewritten, which may make further ones equal. Of two
// symbols the one with fewer users goes, so that n equations cost n log n rewrites.
#include <algorithm>
#include <numeric>

#include "symbols/dim.h"

namespace dvm {
namespace {

constexpr std::size_t kMaxProduct = 4096;  // terms; what would become longer stays as it is

}  // namespace

bool Dims::unify(Dim a, Dim b) {
  to_merge_.emplace_back(a, b);
  bool possible = true;
  try {
    while (possible && !(to_rewrite_.empty() && to_merge_.empty())) {
      if (!to_rewrite_.empty()) {
        const Dim user = to_rewrite_.back();
        to_rewrite_.pop_back();
        possible = rewrite(user);
      } else {
        const auto [x, y] = to_merge_.back();
        to_merge_.pop_back();
        possible = merge(x, y);
      }
    }
  } catch (const Overflow&) {
    possible = false;  // no sizes of tensors are that large
  }
  to_rewrite_.clear();
  to_merge_.clear();
  return possible;
}

void Dims::set_parent(Dim dim, Dim parent) {
  parent = find(parent);
  parent_[dim] = parent;
  if (name_[dim] >= 0 && (name_[parent] < 0 || name_[dim] < name_[parent]))
    name_[parent] = name_[dim];
  moved_.push_back(dim);
  to_rewrite_.insert(to_rewrite_.end(), users_[dim].begin(), users_[dim].end());
}

// Makes `user` again of the representatives of its parts.
bool Dims::rewrite(Dim user) {
  if (rewritten_[user]) return true;
  const Node node = nodes_[user];
  Dim made = -1;
  if (node.kind == DimKind::kOperation) {
    made = combine(node.op, find(node.a), find(node.b));
  } else {
    Polynomial sum;
    for (const Monomial& term : node.terms) {
      Polynomial product = polynomial_of(term.factor);
      for (const Dim atom : term.atoms) {
        const Polynomial part = polynomial(atom);
        if (product.size() * part.size() > kMaxProduct) return true;
        product = multiply(product, part);
      }
      sum = add(sum, product);
    }
    made = make(sum);
  }
  if (made == user) return true;
  rewritten_[user] = 1;
  if (parent_[user] != user) {
    to_merge_.emplace_back(made, user);
  } else if (find(made) == user) {
    parent_[made] = made;
    set_parent(user, made);
  } else {
    set_parent(user, made);
  }
  return true;
}

bool Dims::merge(Dim a, Dim b) {
  a = find(a);
  b = find(b);
  if (a == b) return true;
  Polynomial difference = subtract(polynomial(a), polynomial(b));
  if (is_number(difference)) return difference.empty();
  const std::int64_t common = content(difference);
  if (constant_term(difference) % common != 0) return false;  // 2*a is no 2*b + 1
  difference = divide(difference, common);
  if (substitute(difference)) return true;
  // The shorter expression stands for both.
  const auto length = [&](Dim dim) { return polynomial(dim).size(); };
  if (is_constant(b) || (!is_constant(a) && length(b) < length(a))) std::swap(a, b);
  equations_.push_back({b, a});
  if (nodes_[a].kind != DimKind::kConstant) equations_.push_back({a, b});
  // One that is part of the other cannot be replaced by it. When each is part of the other they stay two.
  if (mentions(a, b)) std::swap(a, b);
  if (!mentions(a, b)) set_parent(b, a);
  return true;
}

// The term of `difference` whose atom is best expressed by the others, or null.
const Monomial* Dims::pivot(const Polynomial& difference) const {
  const Monomial* best = nullptr;
  std::size_t best_cost = 0;
  for (const Monomial& term : difference) {
    if (term.atoms.size() != 1 || (term.factor != 1 && term.factor != -1)) continue;
    const Dim atom = term.atoms[0];
    const bool alone = std::ranges::none_of(difference, [&](const Monomial& other) {
      return &other != &term &&
             std::ranges::any_of(other.atoms, [&](Dim part) { return mentions(part, atom); });
    });
    if (!alone) continue;
    // A symbol before an operation, whose own meaning would have to be kept as an equation; a sum of parts before
    // a difference; above all, what few expressions are made of.
    std::size_t cost = 4 * users_[atom].size();
    cost += nodes_[atom].kind == DimKind::kOperation ? std::size_t{1} << 40 : 0;
    for (const Monomial& other : difference)
      cost += &other != &term && (other.factor > 0) == (term.factor > 0) ? 60 : 0;
    // Of two alike the later one goes.
    if (best != nullptr && (cost > best_cost || (cost == best_cost && atom < best->atoms[0])))
      continue;
    best = &term;
    best_cost = cost;
  }
  return best;
}

// Solves `difference` == 0 for one of its atoms and puts the solution in its place.
bool Dims::substitute(const Polynomial& difference) {
  const Monomial* term = pivot(difference);
  if (term == nullptr) return false;
  const Dim atom = term->atoms[0];
  // factor * atom + rest == 0, and the factor is 1 or -1
  Polynomial solution = scale(difference, -term->factor);
  std::erase_if(solution, [&](const Monomial& other) {
    return other.atoms.size() == 1 && other.atoms[0] == atom;
  });
  const Dim made = make(solution);
  if (nodes_[atom].kind == DimKind::kOperation) equations_.push_back({atom, made});
  set_parent(atom, made);
  return true;
}

bool Dims::relates_symbols(Dim a, Dim b) const {
  try {
    Polynomial difference = subtract(polynomial(a), polynomial(b));
    if (difference.size() - (constant_term(difference) != 0) < 2) return false;
    difference = divide(difference, content(difference));
    const Monomial* term = pivot(difference);
    return term != nullptr && nodes_[term->atoms[0]].kind == DimKind::kSymbol;
  } catch (const Overflow&) {
    return false;
  }
}

}  // namespace dvm

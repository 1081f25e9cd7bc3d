// Dims: integer expressions over symbols in a canonical form, hash-consed so that equal expressions are one id:
// (a+b)*2 is a*2+b*2. Equality that operations imply (an add makes its operands' dimensions equal) is kept beside
// them, closed under the operations: after a == b, a+1 and b+1 are the same. What else is known of a dimension
// (divisors, ranges) is in facts.h.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "symbols/polynomial.h"

namespace dvm {

enum class DimOp : std::uint8_t { kAdd, kSubtract, kMultiply, kFloorDiv, kMod, kMin, kMax };

/// What an operation gives for known operands; division rounds down, and by zero gives zero. Throws Overflow.
std::int64_t apply(DimOp op, std::int64_t a, std::int64_t b);

enum class DimKind : std::uint8_t {
  kConstant,
  kSymbol,
  kPolynomial,  // a sum of products of symbols and operations
  kOperation,  // what does not expand: // % min max, and sums and products that would become too long
};

class Dims {
 public:
  Dim constant(std::int64_t value);
  /// The symbol called `name`, made at its first mention.
  Dim symbol(const std::string& name);
  /// Throws std::invalid_argument where a coefficient does not fit 64 bits.
  Dim binary(DimOp op, Dim a, Dim b);

  DimKind kind(Dim dim) const { return nodes_[find(dim)].kind; }
  bool is_constant(Dim dim) const { return kind(dim) == DimKind::kConstant; }
  bool is_constant(Dim dim, std::int64_t value) const {
    return is_constant(dim) && nodes_[find(dim)].value == value;
  }
  std::int64_t value(Dim dim) const { return nodes_[find(dim)].value; }

  /// States a == b and all that follows for expressions over them. False when that cannot be; what has been stated
  /// before then may be of no more use, unless a and b themselves differ by a constant.
  [[nodiscard]] bool unify(Dim a, Dim b);
  /// Whether a == b would say how one symbol follows from others.
  bool relates_symbols(Dim a, Dim b) const;
  bool same(Dim a, Dim b) const { return find(a) == find(b); }
  /// The representative of everything known equal to `dim`: a constant if there is one, else the expression in
  /// which no symbol stands that another expression replaces.
  Dim find(Dim dim) const {
    while (parent_[dim] != dim) dim = parent_[dim];
    return dim;
  }

  /// The polynomial that `dim` is, known equalities put in.
  Polynomial polynomial(Dim dim) const;
  /// The dimension that is `polynomial`, or -1 if it was never made.
  Dim look_up(const Polynomial& polynomial) const;
  /// The symbol called `name`, or -1 if it was never mentioned.
  Dim look_up(const std::string& name) const;
  /// Whether `atom` stands somewhere in `dim` as it was made; yes when that would take long to say.
  bool mentions(Dim dim, Dim atom) const;

  /// Prints a symbol's name for everything equal to it.
  std::string text(Dim dim) const;
  /// `dim` as it was made, whatever is known equal to it.
  std::string written(Dim dim) const;
  /// Parses what `text` prints: `n`, `12`, `(n*12)`, `((n+1)//2)`, `(a-b)`, `min(a,b)`. * // % bind stronger
  /// than + -. Throws std::invalid_argument naming what was wanted where.
  Dim parse(const std::string& text);

  std::size_t size() const { return nodes_.size(); }

  struct Node {
    DimKind kind;
    DimOp op = DimOp::kAdd;  // kOperation
    std::int64_t value = 0;  // kConstant
    Dim a = -1, b = -1;      // kOperation
    Polynomial terms = {};   // kPolynomial
    std::string name = {};   // kSymbol
  };
  const Node& node(Dim dim) const { return nodes_[dim]; }

  /// Equalities that the representatives do not imply: the operation or polynomial `expression`, computed from its
  /// parts, must be `equal_to`.
  struct Equation {
    Dim expression;
    Dim equal_to;
  };
  const std::vector<Equation>& equations() const { return equations_; }
  /// Dimensions that got another representative since this was last asked.
  std::vector<Dim> take_moved() { return std::exchange(moved_, {}); }

 private:
  struct Hash {
    std::size_t operator()(const std::vector<std::int64_t>& key) const;
  };

  Dim intern(std::vector<std::int64_t> key, Node node);
  Dim make(const Polynomial& polynomial);
  Dim operation(DimOp op, Dim a, Dim b);
  Dim divide_by_constant(Dim a, std::int64_t divisor);
  Dim remainder_by_constant(Dim a, std::int64_t divisor);
  Dim extreme(DimOp op, Dim a, Dim b);
  Dim combine(DimOp op, Dim a, Dim b);
  static std::vector<std::int64_t> key_of(const Polynomial& polynomial);

  bool merge(Dim a, Dim b);
  const Monomial* pivot(const Polynomial& difference) const;
  bool substitute(const Polynomial& difference);
  bool rewrite(Dim user);
  void set_parent(Dim dim, Dim parent);

  std::vector<Node> nodes_;
  std::unordered_map<std::vector<std::int64_t>, Dim, Hash> interned_;
  std::unordered_map<std::string, Dim> symbols_, parsed_;

  std::vector<Dim> parent_;
  std::vector<Dim> name_;                // per representative: the first symbol that is equal to it
  std::vector<std::vector<Dim>> users_;  // dimensions made of this one
  std::vector<char> rewritten_;          // its parent is the same expression with equalities put in
  std::vector<Equation> equations_;
  std::vector<Dim> moved_;
  std::vector<Dim> to_rewrite_;
  std::vector<std::pair<Dim, Dim>> to_merge_;
};

}  // namespace dvm

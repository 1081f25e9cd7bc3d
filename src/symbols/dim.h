// Dimensions: integer expressions over symbols, interned so that equal expressions are one id. Equality that
// operations imply (an add makes its operands' dimensions equal) is kept beside them by union-find.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <unordered_map>
#include <vector>

namespace dvm {

/// A dimension of a Graph: an index into its `Dims`.
using Dim = std::int32_t;

enum class DimOp : std::uint8_t { kConstant, kSymbol, kAdd, kMul, kFloorDiv, kMod };

/// What an operation gives for known operands; division rounds down, and by zero gives zero.
std::int64_t apply(DimOp op, std::int64_t a, std::int64_t b);

class Dims {
 public:
  Dim constant(std::int64_t value);
  /// The symbol called `name`, made at its first mention.
  Dim symbol(const std::string& name);
  /// Folded when both are constants, and for the neutral elements 0 and 1.
  Dim binary(DimOp op, Dim a, Dim b);

  DimOp op(Dim dim) const { return nodes_[find(dim)].op; }
  bool is_constant(Dim dim) const { return op(dim) == DimOp::kConstant; }
  bool is_constant(Dim dim, std::int64_t value) const {
    return is_constant(dim) && nodes_[find(dim)].value == value;
  }
  std::int64_t value(Dim dim) const { return nodes_[find(dim)].value; }

  /// States a == b. False when both are constants that differ.
  [[nodiscard]] bool unify(Dim a, Dim b);
  bool same(Dim a, Dim b) const { return find(a) == find(b); }
  /// The representative of everything known equal to `dim`: a constant if there is one.
  Dim find(Dim dim) const;

  std::string text(Dim dim) const;
  /// Parses what `text` prints: `n`, `12`, `(n*12)`, `((n+1)//2)`.
  Dim parse(const std::string& text);

  std::size_t size() const { return nodes_.size(); }

  struct Node {
    DimOp op;
    std::int64_t value;  // kConstant
    Dim a, b;            // operations
    std::string name;    // kSymbol
  };
  const Node& node(Dim dim) const { return nodes_[dim]; }

 private:
  Dim intern(Node node, const std::string& key);
  std::vector<Node> nodes_;
  std::vector<Dim> parent_;
  std::unordered_map<std::string, Dim> interned_;
};

/// Values of dimensions for one call. Symbols are bound first, expressions are computed on demand.
class DimValues {
 public:
  static constexpr std::int64_t kUnknown = std::numeric_limits<std::int64_t>::min();

  explicit DimValues(const Dims& dims) : dims_(&dims), values_(dims.size(), kUnknown) {}
  /// Records that `dim` is `value`. False when it is already known to be something else.
  [[nodiscard]] bool bind(Dim dim, std::int64_t value);
  /// `kUnknown` when a symbol it needs is not bound.
  std::int64_t get(Dim dim) const;

 private:
  const Dims* dims_;
  mutable std::vector<std::int64_t> values_;
};

}  // namespace dvm

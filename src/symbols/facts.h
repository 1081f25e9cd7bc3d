// Facts: what is known of the dimensions of a Graph beside their expressions, from whom, and what follows. dim.h
// decides whether two expressions are equal; here are divisors, ranges, likely values, products of several
// dimensions, and the questions that fusion asks.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "symbols/dim.h"

namespace dvm {

enum class FactKind : std::uint8_t {
  kEqual,     // a == b
  kMultiple,  // a is a multiple of numbers[0]
  kRange,     // numbers[0] <= a <= numbers[1]
  kLikely,    // a is often one of numbers; nothing follows for correctness
};

inline constexpr std::string_view kFactKinds[] = {"equal", "multiple", "range", "likely"};

/// Something stated of dimensions.
struct Fact {
  FactKind kind;
  Dim a = -1;
  Dim b = -1;  // kEqual
  std::vector<std::int64_t> numbers = {};
  std::string source = {};  // who said so: "user", "%4 = add", ...
  bool given =
      true;  // by the Graph's maker, so printed with it and checked at every plan; else found
  int position = 0;  // how many nodes the Graph had
};

/// `multiple(n, 8)`, `range(n, 1, 512)`, `equal(a, b)`, `likely(n, 1, 128)`, with dimensions as they were written.
std::string text(const Dims& dims, const Fact& fact);

/// Both ends belong to it.
struct Range {
  static constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  static constexpr std::int64_t kLeast = std::numeric_limits<std::int64_t>::min();
  std::int64_t low = kLeast;
  std::int64_t high = kMost;
  bool operator==(const Range&) const = default;
};

/// Neighbouring dimensions of two shapes with equal products: [from_begin, from_end) and [to_begin, to_end).
struct DimGroup {
  int from_begin, from_end, to_begin, to_end;
  bool operator==(const DimGroup&) const = default;
};

/// Symbols are sizes, so not negative. A question costs no more than the expression is long, and the longest ones are
/// answered with "not known". Questions may be asked from several threads; statements may not.
class Facts {
 public:
  Dims& dims() { return dims_; }
  const Dims& dims() const { return dims_; }

  /// False when the fact contradicts what is known. Throws std::invalid_argument for a fact without meaning.
  [[nodiscard]] bool state(Fact fact);
  /// The same for an equality that an operation implies, recorded only if it is news.
  [[nodiscard]] bool equal(Dim a, Dim b, const std::string& source, int position);
  const std::vector<Fact>& stated() const { return stated_; }

  bool same(Dim a, Dim b) const;
  bool same_shape(std::span<const Dim> a, std::span<const Dim> b) const;
  /// Whether two shapes have equally many elements.
  bool same_count(std::span<const Dim> a, std::span<const Dim> b) const;
  bool divisible(Dim dim, std::int64_t by) const;
  /// The largest number known to divide `dim`; 0 for the dimension 0.
  std::int64_t divisor(Dim dim) const;
  Range range(Dim dim) const;
  /// Whether nothing forbids this value: `could_be(dim, 1)` asks if a broadcast may be needed.
  bool could_be(Dim dim, std::int64_t value) const;
  std::vector<std::int64_t> likely(Dim dim) const;
  /// Cuts two shapes of equally many elements into the shortest neighbouring groups that are known to have equal
  /// products: [b, s, h*d] and [b*s, h, d] are {b, s | b*s} and {h*d | h, d}. The last group is what is left.
  std::vector<DimGroup> groups(std::span<const Dim> from, std::span<const Dim> to) const;

 private:
  // What was stated of a representative.
  struct Known {
    Range range;
    std::int64_t divisor = 1;
    std::vector<std::int64_t> likely;
  };

  bool narrow(Dim dim, const Known& more);
  bool settle();
  const Known* known(Dim dim) const;
  Range range_within(Dim dim, int& visits) const;
  Range range_within(const Polynomial& polynomial, int& visits) const;
  std::int64_t divisor_within(Dim dim, int& visits) const;
  std::int64_t divisor_within(const Polynomial& polynomial, int& visits) const;
  bool equal_products(Polynomial a, Polynomial b) const;
  bool exact(Polynomial& polynomial, std::int64_t& divided_by) const;

  Dims dims_;
  std::vector<Fact> stated_;
  std::unordered_map<Dim, Known> known_;
};

}  // namespace dvm

// DimValues: the values of a Graph's dimensions for one call.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "symbols/dim.h"

namespace dvm {

/// Symbols are bound first, expressions are computed on demand.
class DimValues {
 public:
  static constexpr std::int64_t kUnknown = std::numeric_limits<std::int64_t>::min();

  explicit DimValues(const Dims& dims) : dims_(&dims), values_(dims.size(), kUnknown) {}
  /// Records that `dim` is `value`. False when it is already known to be something else.
  [[nodiscard]] bool bind(Dim dim, std::int64_t value);
  /// `kUnknown` when a symbol it needs is not bound. Throws std::invalid_argument when the value does not fit 64 bits.
  std::int64_t get(Dim dim) const;
  /// The same from the parts of the expression, whatever `dim` is bound to or known equal to.
  std::int64_t compute(Dim dim) const;

 private:
  const Dims* dims_;
  mutable std::vector<std::int64_t> values_;
};

}  // namespace dvm

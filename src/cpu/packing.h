// Packing: a right operand of matrix products laid out once for all calls, the weight of a linear layer above all. It becomes
// *panels* of kPackedCols columns, one behind the other, each with its rows one behind the other: a product reads them
// from end to end, as memory delivers best. What panel.h turns at every call is the same in pieces.
#pragma once

#include <cstdint>

#include "cpu/matrix.h"
#include "cpu/step.h"

namespace dvm::cpu {

/// How a right operand [k x n] lies before it is packed. Two that are equal at the same address are packed alike.
struct PackForm {
  int types = 0;  // of the product: a row of isa/products.def
  std::int64_t n = 0, k = 0;
  std::int64_t n_stride = 0, k_stride = 0;  // bytes
  // Rows are the taps of windows, and within them channels, `k_stride` apart.
  std::int64_t taps = 1, tap_stride = 0;

  /// Bytes from row 0 to row `row`.
  std::int64_t row_offset(std::int64_t row) const {
    const std::int64_t channels = k / taps;
    return taps == 1 ? row * k_stride : row % channels * k_stride + row / channels * tap_stride;
  }

  bool operator==(const PackForm&) const = default;
};

/// Whether products have a kernel for it, and it is worth the memory.
bool packs(const PackForm& form, const KernelTable& kernels);

/// From one panel of k rows to the next.
std::int64_t panel_bytes(int types, std::int64_t k, const KernelTable& kernels);
/// Of all panels.
std::int64_t packed_bytes(const PackForm& form, const KernelTable& kernels);

/// Packs panels [first, end) of the operand at `from` to where they belong behind `to`. Columns beyond the last are 0.
void pack(const PackForm& form, const KernelTable& kernels, const void* from, void* to,
          std::int64_t first, std::int64_t end);

}  // namespace dvm::cpu

// Panels: a piece of the right operand, converted and turned so that outer products can read it. Worth its time where many
// rows meet it: then a panel stays in the second-level cache, and no lanes need be added up.
#pragma once

#include <algorithm>

#include "cpu/kernels/outer.h"
#include "cpu/kernels/transpose.h"

namespace dvm::cpu::matmul {

template <std::size_t kBytes>
using BitsOf = std::conditional_t<
    kBytes == 1, std::uint8_t,
    std::conditional_t<kBytes == 2, std::uint16_t,
                       std::conditional_t<kBytes == 4, std::uint32_t, std::uint64_t>>>;

template <class B, class Sum>
void panel(const PanelTile& t) {
  using Bits = BitsOf<sizeof(Sum)>;
  constexpr std::int64_t kCols = 16, kDepth = 64;
  constexpr std::int64_t kOfLine = kLine / static_cast<std::int64_t>(sizeof(B));
  constexpr std::int64_t kRow = kDepth * static_cast<std::int64_t>(sizeof(Sum));
  const auto* const b = static_cast<const B*>(t.b) + t.from;
  for (std::int64_t j = 0; j < t.n; j += kCols) {
    const std::int64_t cols = std::min(kCols, t.n - j);
    for (std::int64_t k = 0; k < t.k; k += kDepth) {
      const std::int64_t depth = std::min(kDepth, t.k - k);
      const B* const from = b + j * t.b_col + k;
      // The next columns come closer meanwhile, as far along k.
      for (std::int64_t c = 0; c < cols; ++c) {
        const B* const next = from + (kCols + c) * t.b_col;
        for (std::int64_t i = 0; i < depth; i += kOfLine) __builtin_prefetch(next + i, 0, 2);
      }
      auto* const to = reinterpret_cast<Bits*>(static_cast<Sum*>(t.to) + k * t.to_row + j);
      const auto to_row = t.to_row * static_cast<std::int64_t>(sizeof(Sum));
      if constexpr (std::is_same_v<B, Sum>) {
        transpose(to, to_row, reinterpret_cast<const Bits*>(from),
                  t.b_col * static_cast<std::int64_t>(sizeof(Sum)), depth, cols);
      } else {
        Sum converted_cols[kCols * kDepth];
        for (std::int64_t c = 0; c < cols; ++c)
          convert_row(from + c * t.b_col, 1, depth, converted_cols + c * kDepth);
        transpose(to, to_row, reinterpret_cast<const Bits*>(converted_cols), kRow, depth, cols);
      }
    }
  }
}

}  // namespace dvm::cpu::matmul

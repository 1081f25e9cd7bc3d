// Products with a right operand that was packed once (cpu/packing.h): outer products whose panels come from memory in one
// stream. All rows of a tile meet a piece of a panel before the next one comes.
#pragma once

#include <algorithm>

#include "cpu/kernels/outer.h"

namespace dvm::cpu::matmul {

// Multiplies all rows with one piece. `kLines` lines of the next one come closer with each row of it, for the first
// `blocks` blocks of rows and columns.
template <class S, int kLines>
void packed_piece(const MatrixTile& panel, std::int64_t from, std::int64_t depth,
                  std::int64_t blocks) {
  constexpr std::int64_t kCols = kOuterVectors * kWidth<typename S::Sum>;
  const std::int64_t rows = even_block(panel.m, kOuterRows);
  const auto* ahead = reinterpret_cast<const char*>(static_cast<const typename S::B*>(panel.b) +
                                                    (from + depth) * kPackedCols);
  for (std::int64_t j = 0; j < panel.n; j += kCols) {
    for (std::int64_t i = 0; i < panel.m; i += rows) {
      const std::int64_t height = std::min(rows, panel.m - i);
      if (blocks-- > 0) {
        outer_block<S, kLines>(panel, i, height, j, from, depth, ahead);
        ahead += depth * kLines * kLine;
      } else {
        outer_block<S>(panel, i, height, j, from, depth);
      }
    }
  }
}

/// b is the first of the panels, each t.k rows of kPackedCols elements.
template <class S>
void packed(const MatrixTile& t) {
  using B = typename S::B;
  constexpr std::int64_t kCols = kOuterVectors * kWidth<typename S::Sum>;
  constexpr std::int64_t kRowLines = kPackedCols * static_cast<std::int64_t>(sizeof(B)) / kLine;
  constexpr int kBlockLines = static_cast<int>(kRowLines * kCols / kPackedCols);
  static_assert(kPackedCols % kCols == 0);
  if (t.m == 0) return;
  // Very few rows leave the stream to the processor, which is faster at it.
  const bool few = t.m <= kOuterRows / 2;
  const std::int64_t piece = kOuterDepth * chains_of(t.m);
  MatrixTile panel = t;
  panel.b_row = kPackedCols;
  for (std::int64_t col = 0; col < t.n; col += kPackedCols) {
    panel.b = static_cast<const B*>(t.b) + col * t.k;
    panel.c = static_cast<typename S::Sum*>(t.c) + col;
    panel.n = std::min(kPackedCols, t.n - col);
    for (std::int64_t from = 0; from < t.k; from += piece) {
      const std::int64_t depth = std::min(piece, t.k - from);
      if (few) {
        packed_piece<S, 0>(panel, from, depth, 0);
      } else if (t.m <= kOuterRows) {
        packed_piece<S, kBlockLines>(panel, from, depth, kPackedCols / kCols);
      } else {
        packed_piece<S, 1>(panel, from, depth, kRowLines);
      }
    }
  }
}

}  // namespace dvm::cpu::matmul

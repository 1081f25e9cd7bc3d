// Matrix products, as the kernels of each build and matmul.h share them: plain data, laid out alike everywhere.
#pragma once

#include <cstdint>

#include "isa/type.h"

namespace dvm::cpu {

/// Scales of a right operand of few bits: that of element (k, n) is at[k / group * row + n * col].
struct Scales {
  const float* at = nullptr;
  std::int64_t row = 0, col = 0;
  std::int64_t group = 1;
};

/// c[m x n] = a[m x k] * b[k x n], added to what is there if `adds`. Strides are in elements; c is contiguous along n.
struct MatrixTile {
  const void* a;
  std::int64_t a_row, a_col;
  const void* b;
  std::int64_t b_row, b_col;
  void* c;
  std::int64_t c_row;
  std::int64_t m, n, k;
  bool adds = false;
  Scales scales = {};
};

using MatrixKernel = void (*)(const MatrixTile& tile);

/// Columns of b, contiguous along k, from element `from` on, converted and turned into rows: element (from + k, n) at
/// to[k * to_row + n]. Elements are of
/// the sum's type, or groups of narrow ones in as many bytes: see matmul_native.cpp.
struct PanelTile {
  const void* b;
  std::int64_t b_col;
  std::int64_t from;
  void* to;
  std::int64_t to_row;
  std::int64_t n, k;
  Scales scales = {};
};

/// A panel has at most so many rows.
inline constexpr std::int64_t kPanelDepth = 512;

/// Columns of a panel of a right operand that is packed once: see packing.h.
inline constexpr std::int64_t kPackedCols = 32;

/// Of one pair of types in isa/products.def. Null is what it has not.
struct MatrixKernels {
  MatrixKernel dot = nullptr;    // a and b contiguous along k: a_col == 1, b_row == 1
  MatrixKernel outer = nullptr;  // b contiguous along n: b_col == 1
  void (*panel)(const PanelTile& tile) = nullptr;
  std::int64_t panel_group = 1;                   // elements along k that one of a panel holds
  MatrixKernel outer_of_panel = nullptr;          // a contiguous along k, b a panel
  void (*pack)(const PanelTile& tile) = nullptr;  // a panel for all calls, which converts nothing
  MatrixKernel packed =
      nullptr;  // b packed, its strides are not read; a contiguous along k if panel_group > 1
};

/// Scores of a block of queries for a block of keys, on their way to shares, in the manner of a streamed softmax (Milakov
/// and Gimelshein, "Online normalizer calculation for softmax", 2018): what came before is scaled down when a larger score
/// comes. Queries lie side by side, so that what is done for each is done for a vector of them. Strides are in elements.
struct ScoreTile {
  float* scores;  // [key][query]; in: products; out: exp(score - largest of the query so far)
  std::int64_t score_row;
  std::int64_t queries, keys;
  std::int64_t padded;       // queries, and some that are none: whole vectors
  const float* mask;         // added; null for none
  const std::uint8_t* seen;  // where it is 0, a score becomes `hidden`; null for none
  std::int64_t mask_query, mask_key;
  float hidden;
  /// Query i sees key j if i >= j + first, if it is causal.
  bool causal;
  std::int64_t first;
  float *largest, *total, *most, *less;  // of each query; the last two are room to work in
  float* result;                         // sums of values, weighted
  std::int64_t depth;
};

/// Queries times `scale`, in another layout: element d of query i at to[d * to_row + i * to_query].
struct QueryTile {
  const float* from;
  std::int64_t from_row;
  float* to;
  std::int64_t to_row, to_query;
  std::int64_t queries, depth;
  float scale;
};

/// Ends a tile of rows: result / total, or times `blind` for a row that saw nothing.
struct ShareTile {
  const float* result;
  const float* total;
  float* to;
  std::int64_t to_row;
  std::int64_t rows, depth;
  float blind;
};

struct AttentionKernels {
  void (*turn)(const QueryTile& tile) = nullptr;
  void (*scores)(const ScoreTile& tile) = nullptr;
  void (*few_scores)(const ScoreTile& tile) = nullptr;  // [query][key], a query at a time
  void (*shares)(const ShareTile& tile) = nullptr;
};

}  // namespace dvm::cpu

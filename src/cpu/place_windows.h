// Windows over tensors whose channels lie side by side, as convolution_by_places.h and the kernels of each build share
// them: plain data, laid out alike everywhere. A row of a tile is a place of the result, and for each tap one address
// says what its window reads there: nothing is gathered. Strides are in elements. f32.
#pragma once

#include <cstdint>

#include "cpu/window.h"

namespace dvm::cpu {

/// c[m x n], of which row i is the sum over all taps t of the `depth` channels from rows[t * m + i] on, times the rows
/// from t * depth on of b. This is in panels of kPackedCols columns: element (k, n) of panel p at
/// b[p * b_panel + k * b_row + n].
struct PlaceTile {
  const float* const* rows = nullptr;
  const float* nothing = nullptr;  // what rows have where a tap reads padding only: zeros
  std::int64_t taps = 0, depth = 0;
  const float* b = nullptr;
  std::int64_t b_row = 0, b_panel = 0;
  float* c = nullptr;
  std::int64_t c_row = 0;
  std::int64_t m = 0, n = 0;
};

/// The same with a window over each channel apart: row i of c folds the n channels from rows[t * m + i] on, those of tap t
/// weighted with n numbers from weight[t * weight_row] on.
struct ChannelTile {
  const float* const* rows = nullptr;
  std::int64_t taps = 0;
  WindowFold fold = WindowFold::kWeighted;
  const float* weight = nullptr;
  std::int64_t weight_row = 0;
  float* c = nullptr;
  std::int64_t c_row = 0;
  std::int64_t m = 0, n = 0;
};

}  // namespace dvm::cpu

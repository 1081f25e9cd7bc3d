// Matrix products, as the kernels of each build and matmul.h share them: plain data, laid out alike everywhere.
#pragma once

#include <cstdint>

#include "isa/type.h"

namespace dvm::cpu {

/// c[m x n] = a[m x k] * b[k x n]. Strides are in elements; c is contiguous along n.
struct MatrixTile {
  const void* a;
  std::int64_t a_row, a_col;
  const void* b;
  std::int64_t b_row, b_col;
  void* c;
  std::int64_t c_row;
  std::int64_t m, n, k;
};

using MatrixKernel = void (*)(const MatrixTile& tile);

/// Of one element type.
struct MatrixKernels {
  MatrixKernel dot = nullptr;    // a and b contiguous along k: a_col == 1, b_row == 1
  MatrixKernel outer = nullptr;  // b contiguous along n: b_col == 1
};

}  // namespace dvm::cpu

// What finishes the tiles of a product or a convolution: a Kernel, scheduled into Programs over one tile, for every shape of
// tile that occurs. matmul_plan.cpp and convolution_plan.cpp say how the axes of their results run over tiles.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu/matrix_tiles.h"
#include "fuse/kernel.h"
#include "isa/program.h"
#include "schedule/schedule.h"

namespace dvm {

/// The Kernel that reads a tensor of rank `rank`, its input `input`, element by element. `shape` has the extents of the whole
/// and the strides of all tensors.
struct TileEpilogue {
  const Kernel& kernel;
  int input;
  const KernelShape& shape;
  int rank;

  /// Byte strides of the Kernel's inputs and outputs along the dimensions of that tensor; none for the tensor itself.
  std::vector<cpu::MatrixStrides> strides() const;

  /// Ends the tiles of `tiles` with the Kernel. `tensors` are its strides() as batch axes, rows and columns of a tile, which
  /// run along the dimensions `row_dims` and `col_dims` (each one axis, or several that lie as one in all tensors). The
  /// Programs made, for people and tests, are added to `programs` unless that is null.
  void attach(cpu::MatrixTiles& tiles, std::vector<cpu::MatrixStrides> tensors,
              const std::vector<int>& row_dims, const std::vector<int>& col_dims,
              std::vector<Program>* programs) const;
};

}  // namespace dvm

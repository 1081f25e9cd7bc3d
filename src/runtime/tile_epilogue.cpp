#include "runtime/tile_epilogue.h"

#include <algorithm>
#include <utility>

#include "cpu/dispatch.h"
#include "isa/encode.h"

namespace dvm {

std::vector<cpu::MatrixStrides> TileEpilogue::strides() const {
  const std::vector<int>& dim_of_axis = kernel.inputs[input].dim_of_axis;
  std::vector<cpu::MatrixStrides> tensors;
  const auto add = [&](const std::vector<std::int64_t>& along_axes) {
    cpu::MatrixStrides& strides = tensors.emplace_back(static_cast<std::size_t>(rank), 0);
    for (std::size_t axis = 0; axis < dim_of_axis.size(); ++axis)
      strides[dim_of_axis[axis]] = along_axes[axis];
  };
  for (std::size_t i = 0; i < kernel.inputs.size(); ++i) {
    if (static_cast<int>(i) == input) {
      tensors.emplace_back();
    } else {
      add(shape.input_strides[i]);
    }
  }
  for (const std::vector<std::int64_t>& along_axes : shape.output_strides) add(along_axes);
  return tensors;
}

void TileEpilogue::attach(cpu::MatrixTiles& tiles, std::vector<cpu::MatrixStrides> tensors,
                          const std::vector<int>& row_dims, const std::vector<int>& col_dims,
                          std::vector<Program>* programs) const {
  // On a tile one axis runs along the rows, one along the columns, and all others take one step.
  const std::vector<int>& dim_of_axis = kernel.inputs[input].dim_of_axis;
  int row_axis = -1, col_axis = -1;
  for (int axis = 0; axis < static_cast<int>(dim_of_axis.size()); ++axis) {
    if (std::ranges::find(row_dims, dim_of_axis[axis]) != row_dims.end()) row_axis = axis;
    if (std::ranges::find(col_dims, dim_of_axis[axis]) != col_dims.end()) col_axis = axis;
  }
  KernelShape tile = shape;
  const auto lay = [&](std::vector<std::int64_t>& strides, std::int64_t rows, std::int64_t cols) {
    std::ranges::fill(strides, 0);
    if (row_axis >= 0) strides[row_axis] = rows;
    if (col_axis >= 0) strides[col_axis] = cols;
  };
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    std::vector<std::int64_t>& strides = i < kernel.inputs.size()
                                             ? tile.input_strides[i]
                                             : tile.output_strides[i - kernel.inputs.size()];
    if (tensors[i].empty()) {
      lay(strides, tiles.tile_row_bytes(), tiles.element_bytes());
    } else {
      lay(strides, tensors[i][tensors[i].size() - 2], tensors[i].back());
    }
  }
  std::vector<std::vector<Word>> words(cpu::MatrixTiles::kTileShapes);
  for (int cut = 0; cut < cpu::MatrixTiles::kTileShapes; ++cut) {
    if (tiles.rows(cut) == 0 || tiles.cols(cut) == 0) continue;
    std::ranges::fill(tile.extents, 1);
    if (row_axis >= 0) tile.extents[row_axis] = tiles.rows(cut);
    if (col_axis >= 0) tile.extents[col_axis] = tiles.cols(cut);
    Scheduled scheduled = schedule(kernel, tile);
    words[cut] = encode(scheduled.stages[0].program);
    if (programs != nullptr) programs->push_back(std::move(scheduled.stages[0].program));
  }
  tiles.finish(words, std::move(tensors), *cpu::isa().kernels);
}

}  // namespace dvm

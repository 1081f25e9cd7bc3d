// Convolution: windows over images times a weight, as tiles of which matrix_tiles.h tells: rows are channels of the result,
// columns are places of windows. A tile is a product whose right operand, what the windows read, is gathered a panel at a
// time, just before it is multiplied. A window over one channel (depthwise, pools) is no product and has loops of its own. f32.
#pragma once

#include <cstdint>

#include "cpu/dispatch.h"
#include "cpu/matrix.h"
#include "cpu/matrix_tiles.h"
#include "cpu/window.h"

namespace dvm::cpu {

struct ConvolutionShape {
  Window window;
  WindowFold fold = WindowFold::kWeighted;
  std::int64_t images = 1, groups = 1;
  std::int64_t inputs = 0, outputs = 0;  // channels of a group
  /// How many axes of the result, from the last on, are the columns of a tile: 1 to 3. The others are batch axes.
  int merged = 1;
  std::int64_t image = 0, channel = 0, move[kWindowAxes] = {};  // bytes along the operand
  std::int64_t weight_output = 0;  // bytes from the weight of one output to that of the next
};

class Convolution final : public MatrixTiles {
 public:
  /// The batch axes of tiles are images, groups, and the axes of the result that are no columns, outermost first.
  Convolution(const ConvolutionShape& shape, const KernelTable& kernels);

  /// Whether each channel has a window of its own. Then the rows are all channels, there is one group to the batch axes, and
  /// two axes at most are columns.
  static bool is_depthwise(const ConvolutionShape& shape);

  /// Arguments of the launch: the operand, and if there is one the weight, of which what one output needs is contiguous, first the channels,
  /// then the taps.
  const char* name() const override {
    return shape_.fold == WindowFold::kWeighted ? "convolution" : "pool";
  }
  std::size_t bytes() const override;

 private:
  void choose_tile();
  void compute(const Launch& launch, const At& at, void* tile, std::int64_t tile_row,
               bool apart) const override;
  void multiply(const Launch& launch, const At& at, float* tile, std::int64_t tile_row,
                bool apart) const;
  void slide(const Launch& launch, const At& at, float* tile, std::int64_t tile_row) const;
  void find_place(const At& at, std::int64_t col, std::int64_t* place) const;

  ConvolutionShape shape_;
  MatrixKernels matrix_;
  WindowKernels windows_;
};

}  // namespace dvm::cpu

// Convolutions and pools as convolution.h has them, turned over: rows of a tile are places of the result, columns are its
// channels. A tensor whose channels lie side by side is read where it is, a run of channels for each place and tap, and the
// result has its channels side by side too. A product takes a right operand that is packed (packing.h), with rows that are
// taps and within them channels; its left operand is gathered only where channels lie apart, as those of a first layer do.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu/convolution.h"

namespace dvm::cpu {

/// What a ConvolutionByPlaces reads besides its operand.
struct PlaceWeight {
  bool packed = false;   // else its rows lie `row` bytes apart, each contiguous
  std::int64_t row = 0;  // from one row of the product's right operand to the next
};

class ConvolutionByPlaces final : public MatrixTiles {
 public:
  /// `shape.merged` counts the images too, behind the three axes. The batch axes are images and axes that are no
  /// rows. A depthwise convolution reads the weight as Convolution does, others as `weight` says.
  ConvolutionByPlaces(const ConvolutionShape& shape, const PlaceWeight& weight,
                      const KernelTable& kernels);

  /// Whether there is a form for it: windows over single channels that lie side by side, products without groups.
  static bool takes(const ConvolutionShape& shape);
  /// Whether the operand of a product is gathered; else its channels lie side by side. What is gathered has rows that are
  /// channels and within them taps.
  static bool gathers(const ConvolutionShape& shape);

  const char* name() const override {
    return shape_.fold == WindowFold::kWeighted ? "convolution" : "pool";
  }
  std::size_t bytes() const override;

 private:
  // A row of a tile: its image, and its place along each axis.
  struct Place {
    std::int64_t image, at[kWindowAxes];
  };

  void choose_tile();
  void compute(const Launch& launch, const At& at, void* tile, std::int64_t tile_row,
               bool apart) const override;
  void multiply(const Launch& launch, const At& at, float* tile, std::int64_t tile_row) const;
  void multiply_gathered(const Launch& launch, const At& at, float* tile,
                         std::int64_t tile_row) const;
  void fold(const Launch& launch, const At& at, float* tile, std::int64_t tile_row) const;
  Place place_of(const At& at, std::int64_t row) const;
  const float* panels(const Launch& launch, std::int64_t col) const;
  void find_rows(const float* x, const At& at, const float** rows) const;
  void find_line(const float* image, const Place& place, std::int64_t count, std::int64_t m,
                 const float** rows) const;

  ConvolutionShape shape_;
  PlaceWeight weight_;
  MatrixKernels matrix_;
  WindowKernels windows_;
  std::int64_t depth_ = 0;      // rows of the right operand
  std::vector<float> nothing_;  // what windows read beyond the ends
};

}  // namespace dvm::cpu

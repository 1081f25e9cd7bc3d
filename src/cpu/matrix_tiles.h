// MatrixTiles: a batch of matrices that are computed tile by tile, in memory that caches hold. An *epilogue*, a Program over
// the tile, reads it there and writes what becomes of it; without one the tile is a piece of the result. How a tile is
// computed is what product.h and convolution.h add.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "cpu/dispatch.h"
#include "cpu/routine.h"
#include "cpu/tiled.h"
#include "isa/words.h"

namespace dvm::cpu {

/// Where a tensor lies: byte strides along every batch axis, then along the rows and the columns of the result (0 where it
/// does not move).
using MatrixStrides = std::vector<std::int64_t>;

class MatrixTiles : public Tiled {
 public:
  static constexpr int kTileShapes = 4;  // bit 0: cut rows, bit 1: cut columns

  /// The result comes behind the operands, with these strides; it is contiguous along the columns.
  void write(MatrixStrides result);
  /// The tile goes to a Program: `words` are its forms for the tile shapes that occur (empty where one does not).
  /// Argument i of the Program is the tile where strides[i] is empty, else the next of the launch's, with those strides.
  void finish(std::span<const std::vector<Word>> words, std::vector<MatrixStrides> strides,
              const KernelTable& kernels);

  /// Bytes from one row of a tile to the next, as the epilogue finds it.
  std::int64_t tile_row_bytes() const { return tile_row_ * element_; }
  std::int64_t element_bytes() const { return element_; }
  /// Of tiles that are cut in rows (bit 0) or columns (bit 1); 0 if there are none.
  std::int64_t rows(int cut) const;
  std::int64_t cols(int cut) const;

  /// Blocks are tiles. Arguments of the launch: the operands, then the result or the epilogue's.
  void run(const Launch& launch, std::int64_t first, std::int64_t end) const override;
  std::size_t bytes() const override;

 protected:
  // Where a tile is.
  struct At {
    std::int64_t batch[kMaxAxes] = {};
    std::int64_t row = 0, col = 0;
    std::int64_t rows = 0, cols = 0;
    int cut = 0;
  };

  /// Matrices of m x n elements of `element` bytes, made of so many operands; cut() comes next.
  MatrixTiles(std::vector<std::int64_t> batch, std::int64_t m, std::int64_t n, std::int64_t element,
              int operands = 2);
  /// Tiles of so many rows and columns; returns how many there are. In memory of their own rows are `tile_row` elements
  /// apart, by default as many as there are columns.
  std::int64_t cut(std::int64_t rows, std::int64_t cols, std::int64_t tile_row = 0);
  /// Of the operands; what the epilogue takes is added later.
  void set_work(double work) { work_ = work; }

  /// Writes a tile to `tile`, whose rows are `tile_row` elements apart: memory of its own if `apart`, else the result's.
  virtual void compute(const Launch& launch, const At& at, void* tile, std::int64_t tile_row,
                       bool apart) const = 0;
  std::int64_t offset(const MatrixStrides& strides, const At& at) const;

  std::vector<std::int64_t> batch_;
  std::int64_t m_ = 0, n_ = 0, element_ = 4;

 private:
  At at(std::int64_t block) const;
  void run_epilogue(const Launch& launch, const At& at, void* tile) const;

  int operands_ = 2;
  std::int64_t tile_m_ = 1, tile_n_ = 1, tiles_m_ = 0, tiles_n_ = 0, tile_row_ = 1;
  MatrixStrides result_;
  std::vector<MatrixStrides> epilogue_;
  std::vector<Routine> routines_;  // per shape of tile
};

}  // namespace dvm::cpu

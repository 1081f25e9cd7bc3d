// Product: a matrix product bound to its shapes, run tile by tile. A tile of the result is finished in memory that caches
// hold; then its *epilogue*, a Program over the tile, reads it there and writes what becomes of it. Without one the tile
// is a piece of the result. How tiles are cut depends on the shapes alone.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "cpu/dispatch.h"
#include "cpu/interpreter.h"
#include "cpu/matrix.h"
#include "cpu/routine.h"
#include "cpu/tiled.h"
#include "isa/product.h"
#include "isa/words.h"

namespace dvm::cpu {

/// Where a tensor of a product lies: byte strides along every batch axis, then along the rows and the columns of the
/// result (0 where it does not move).
using ProductStrides = std::vector<std::int64_t>;

struct ProductShape {
  int types = product_of(Type::f32, Type::f32);  // the row of isa/products.def
  std::vector<std::int64_t> batch;
  std::int64_t m = 0, n = 0, k = 0;
  ProductStrides a, b;  // b along the rows: 0; a along the columns: 0
  std::int64_t a_k = 0,
               b_k = 0;  // bytes along k, of b those from one byte's elements to the next's
  // Of weights of 8 or 4 bits, which are f32 with i8 in isa/products.def: 0 for other products.
  int bits = 0;
  ProductStrides scales;
  std::int64_t scales_k = 0;  // bytes from one group's to the next's
  std::int64_t groups = 1;
};

class Product final : public Tiled {
 public:
  static constexpr int kTileShapes = 4;  // bit 0: cut rows, bit 1: cut columns

  /// Throws std::logic_error unless the operands lie as some kernel takes them: see takes().
  Product(ProductShape shape, const KernelTable& kernels);

  /// Whether operands with these strides need no copy: b contiguous along the columns, or both along k.
  static bool takes(const ProductShape& shape, const KernelTable& kernels);
  /// The kernels for its types.
  static const MatrixKernels& kernels_of(const ProductShape& shape, const KernelTable& kernels);

  /// The result is argument 2, with these strides; it is contiguous along the columns.
  void write(ProductStrides result);
  /// The tile goes to a Program: `words` are its forms for the tile shapes that occur (empty where one does not).
  /// Argument i of the Program is the tile where strides[i] is empty, else the next of the launch's, with those strides.
  void finish(std::span<const std::vector<Word>> words, std::vector<ProductStrides> strides,
              const KernelTable& kernels);

  std::int64_t tile_rows() const { return tile_m_; }
  std::int64_t tile_cols() const { return tile_n_; }
  /// Of tiles that are cut in rows (bit 0) or columns (bit 1); 0 if there are none.
  std::int64_t rows(int cut) const;
  std::int64_t cols(int cut) const;

  /// Blocks are tiles. Arguments of the launch: a, b, scales if there are any, then the result or the
  /// epilogue's.
  void run(const Launch& launch, std::int64_t first, std::int64_t end) const override;
  const char* name() const override { return "matmul"; }
  std::size_t bytes() const override;

 private:
  struct At;
  void choose_tile(std::int64_t most_cols);
  std::int64_t panel_bytes() const;
  int operands() const { return shape_.bits == 0 ? 2 : 3; }
  void compute(const Launch& launch, const At& at, void* tile, std::int64_t tile_row,
               void* panel) const;
  void run_epilogue(const Launch& launch, const At& at, void* tile) const;
  std::int64_t offset(const ProductStrides& strides, const At& at) const;

  ProductShape shape_;
  MatrixKernels kernels_;
  MatrixKernel kernel_ = nullptr;
  std::int64_t a_bytes_ = 4, b_bytes_ = 4, sum_bytes_ = 4;  // of an element
  std::int64_t panel_depth_ = 0;                            // 0: b is read where it lies
  std::int64_t tile_m_ = 1, tile_n_ = 1, tiles_m_ = 0, tiles_n_ = 0;
  ProductStrides result_;
  std::vector<ProductStrides> epilogue_;
  std::vector<Routine> routines_;  // per shape of tile
};

}  // namespace dvm::cpu

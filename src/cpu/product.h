// Product: a matrix product bound to its shapes, as tiles of which matrix_tiles.h tells. How they are cut depends on the
// shapes alone.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu/dispatch.h"
#include "cpu/matrix.h"
#include "cpu/matrix_tiles.h"
#include "isa/product.h"

namespace dvm::cpu {

struct ProductShape {
  int types = product_of(Type::f32, Type::f32);  // the row of isa/products.def
  std::vector<std::int64_t> batch;
  std::int64_t m = 0, n = 0, k = 0;
  MatrixStrides a, b;  // b along the rows: 0; a along the columns: 0
  std::int64_t a_k = 0,
               b_k = 0;  // bytes along k, of b those from one byte's elements to the next's
  bool packed = false;   // b is as packing.h lays it out, the same for the whole batch
  // Of weights of 8 or 4 bits, which are f32 with i8 in isa/products.def: 0 for other products.
  int bits = 0;
  MatrixStrides scales;
  std::int64_t scales_k = 0;  // bytes from one group's to the next's
  std::int64_t groups = 1;
};

class Product final : public MatrixTiles {
 public:
  /// Throws std::logic_error unless the operands lie as some kernel takes them: see takes().
  Product(ProductShape shape, const KernelTable& kernels);

  /// Whether operands with these strides need no copy: b packed or contiguous along the columns, or both along k.
  static bool takes(const ProductShape& shape, const KernelTable& kernels);
  /// The kernels for its types.
  static const MatrixKernels& kernels_of(const ProductShape& shape, const KernelTable& kernels);

  const char* name() const override { return "matmul"; }
  std::size_t bytes() const override;

 private:
  void choose_tile(std::int64_t most_cols);
  void compute_by_panels(MatrixTile tile) const;
  void compute(const Launch& launch, const At& at, void* tile, std::int64_t tile_row,
               bool apart) const override;

  ProductShape shape_;
  MatrixKernels kernels_;
  MatrixKernel kernel_ = nullptr;
  std::int64_t packed_panel_ = 0;  // bytes from one panel of packed weights to the next
  std::int64_t panel_depth_ = 0;   // along k; 0: b is read where it lies
};

}  // namespace dvm::cpu

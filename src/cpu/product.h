// Product: a matrix product bound to its shapes, as tiles of which matrix_tiles.h tells. How they are cut depends on the
// shapes alone.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu/dispatch.h"
#include "cpu/matrix.h"
#include "cpu/matrix_tiles.h"

namespace dvm::cpu {

struct ProductShape {
  Type type = Type::f32;
  std::vector<std::int64_t> batch;
  std::int64_t m = 0, n = 0, k = 0;
  MatrixStrides a, b;             // b along the rows: 0; a along the columns: 0
  std::int64_t a_k = 0, b_k = 0;  // bytes along k
};

class Product final : public MatrixTiles {
 public:
  /// Throws std::logic_error unless the operands lie as some kernel takes them: see takes().
  Product(ProductShape shape, const KernelTable& kernels);

  /// Whether operands with these strides need no copy: b contiguous along the columns, or both along k.
  static bool takes(const ProductShape& shape);

  const char* name() const override { return "matmul"; }
  std::size_t bytes() const override;

 private:
  void choose_tile();
  void compute(const Launch& launch, const At& at, void* tile, std::int64_t tile_row,
               bool apart) const override;

  ProductShape shape_;
  MatrixKernel kernel_ = nullptr;
};

}  // namespace dvm::cpu

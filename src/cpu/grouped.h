// Grouped: products of groups of rows, each with a matrix of its own, where only a call says where groups end (a mixture of
// experts). Tiles are numbered as if every group had a part of one; which rows a number means is looked up when it runs,
// so that one plan serves all ways to share rows out. product.h has one right operand for all rows.
#pragma once

#include <cstdint>

#include "cpu/dispatch.h"
#include "cpu/matrix.h"
#include "cpu/tiled.h"
#include "isa/product.h"

namespace dvm::cpu {

/// Strides are in bytes. The result is contiguous along n.
struct GroupedShape {
  int types = product_of(Type::f32, Type::f32);  // the row of isa/products.def
  std::int64_t rows = 0, n = 0, k = 0, groups = 0;
  std::int64_t a_row = 0, a_k = 0;
  std::int64_t b_group = 0, b_k = 0, b_n = 0;
  std::int64_t result_row = 0;
  Type end_type = Type::i32;  // or i64
  std::int64_t end = 0;       // from one group's end to the next's
};

class Grouped final : public Tiled {
 public:
  /// The operands lie as Product::takes() wants those of one group.
  Grouped(const GroupedShape& shape, const KernelTable& kernels);

  /// Blocks are tiles, some of no rows. Arguments of the launch: a, b, the ends of groups, and the result. Group g has the rows
  /// from the end of the group before to its own; an end that is less than the one before, or beyond the rows, counts as
  /// the nearest that is not. Rows behind the last end are zeros.
  void run(const Launch& launch, std::int64_t first, std::int64_t end) const override;
  const char* name() const override { return "matmul"; }
  std::size_t bytes() const override { return sizeof(*this); }

 private:
  struct Rows;
  Rows rows_of(const void* ends, std::int64_t tile) const;
  void compute(const Launch& launch, const Rows& rows, std::int64_t col) const;
  void compute_by_panels(MatrixTile tile) const;

  GroupedShape shape_;
  MatrixKernels kernels_;
  bool outer_ = false;
  std::int64_t tiles_of_rows_ = 0, cols_ = 1;
};

}  // namespace dvm::cpu

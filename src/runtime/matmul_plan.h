// The plan of one matrix product: how its operands, its result and the tensors of its epilogue lie, with the batch axes
// collapsed, and the Programs that finish its tiles. launch_plan.cpp gives it places.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "cpu/packing.h"
#include "cpu/product.h"
#include "isa/program.h"
#include "runtime/layout.h"
#include "runtime/tile_epilogue.h"

namespace dvm {

class MatmulPlan {
 public:
  /// `sizes` are those of the result: batch axes, rows, columns. The operands are broadcast along the batch axes.
  /// `types` is a row of isa/products.def. Of weights of `bits` bits, 8 or 4, a third operand holds the scales; else
  /// `bits` is 0. Throws std::invalid_argument when the elements do not part into as many groups.
  MatmulPlan(int types, int bits, std::span<const std::int64_t> sizes,
             std::span<const Layout* const> operands);

  /// Whether the operands can be read as they lie, and if not which one a dense copy of would help: 0 or 1; else -1.
  int operand_to_copy() const;
  /// The order of the axes of that copy, which has `rank` of them.
  std::vector<int> copy_order(int operand, int rank) const;

  /// Reads the right operand packed from now on, and says in which form; nothing where it can't be or had better not.
  std::optional<cpu::PackForm> pack();

  /// Whether write() can write there.
  bool writes(const Layout& result) const;
  /// The order of the axes of a result of our own: as indexed.
  static std::vector<int> result_order() { return {}; }
  /// The result goes to memory of this layout, which is contiguous along the columns.
  std::unique_ptr<cpu::Product> write(const Layout& result);

  /// What reads the result runs on its tiles; `programs` as TileEpilogue::attach takes it.
  std::unique_ptr<cpu::Product> finish(const TileEpilogue& epilogue,
                                       std::vector<Program>* programs);

 private:
  void collapse(std::vector<cpu::MatrixStrides>& tensors);
  // Whether a copy of the right operand must be contiguous along its rows, which are summed over.
  bool copies_columns() const;
  bool merges(std::size_t outer, const std::vector<cpu::MatrixStrides>& tensors) const;

  cpu::ProductShape shape_;
  std::vector<int>
      row_dims_;  // the dimensions of the result that the rows are made of, outermost first
  int rank_ = 0;
};

}  // namespace dvm

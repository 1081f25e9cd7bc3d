// The plan of one convolution or pool: how its operands, its result and the tensors of its epilogue lie, and which axes of the result
// are columns of a tile. launch_plan.cpp gives it places, as it does for matmul_plan.h.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "cpu/convolution.h"
#include "graph/graph.h"
#include "runtime/layout.h"
#include "runtime/tile_epilogue.h"

namespace dvm {

/// A weight as [groups, outputs of a group, inputs of a group, taps...], wherever it lies.
Layout weight_by_groups(const Layout& weight, const Windows& windows);

class ConvolutionPlan {
 public:
  /// `sizes` are those of the result: images, channels, places. `weight` is as weight_by_groups gives it, and read as it lies
  /// if takes() says so. Throws std::invalid_argument where a window is larger than the operand with its padding.
  ConvolutionPlan(const Windows& windows, std::span<const std::int64_t> sizes, const Layout& x,
                  const Layout& weight);

  /// A pool: `op` is max or sum.
  ConvolutionPlan(Op op, const Windows& windows, std::span<const std::int64_t> sizes,
                  const Layout& x);

  static bool takes(const Layout& weight);

  /// The result goes to memory of this layout, which is contiguous along its last axis.
  std::unique_ptr<cpu::Convolution> write(const Layout& result);
  /// What reads the result runs on its tiles; `programs` as TileEpilogue::attach takes it.
  std::unique_ptr<cpu::Convolution> finish(const TileEpilogue& epilogue,
                                           std::vector<Program>* programs);

 private:
  void take(const Windows& windows, std::span<const std::int64_t> sizes, const Layout& x,
            std::span<const std::int64_t> taps);
  std::vector<cpu::MatrixStrides> lay(const std::vector<cpu::MatrixStrides>& tensors);

  cpu::ConvolutionShape shape_;
  int rank_ = 0;
};

}  // namespace dvm

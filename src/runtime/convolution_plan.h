// The plan of one convolution or pool: how its operands, its result and the tensors of its epilogue lie, and which axes of the result
// are columns of a tile. launch_plan.cpp gives it places, as it does for matmul_plan.h.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "cpu/convolution_by_places.h"
#include "cpu/packing.h"
#include "graph/graph.h"
#include "runtime/layout.h"
#include "runtime/tile_epilogue.h"

namespace dvm {

/// A weight as [groups, outputs of a group, inputs of a group, taps...], wherever it lies.
Layout weight_by_groups(const Layout& weight, const Windows& windows);

class ConvolutionPlan {
 public:
  /// `sizes` are those of the result: images, channels, places. `weight` is as weight_by_groups gives it. Throws
  /// std::invalid_argument where a window is larger than the operand with its padding.
  ConvolutionPlan(const Windows& windows, std::span<const std::int64_t> sizes, const Layout& x,
                  const Layout& weight);

  /// A pool: `op` is max or sum.
  ConvolutionPlan(Op op, const Windows& windows, std::span<const std::int64_t> sizes,
                  const Layout& x);

  /// Whether the weight can be read as it lies.
  bool takes(const Layout& weight) const;
  /// The order of the axes of a copy that can: empty means as indexed.
  std::vector<int> weight_order() const;
  /// Computes by places from now on if there is such a form of it, and it pays: what is read or, as `last` says, written has
  /// its channels side by side.
  void turn(bool last);
  /// Reads the weight packed from now on, and says in which form; nothing where it can't be.
  std::optional<cpu::PackForm> pack(const Layout& weight);
  bool by_places() const { return by_places_; }

  /// Whether write() can write there.
  bool writes(const Layout& result) const;
  /// The order of the axes of a result of our own.
  std::vector<int> result_order() const;
  std::unique_ptr<cpu::MatrixTiles> write(const Layout& result);
  /// What reads the result runs on its tiles; `programs` as TileEpilogue::attach takes it.
  std::unique_ptr<cpu::MatrixTiles> finish(const TileEpilogue& epilogue,
                                           std::vector<Program>* programs);

 private:
  void take(const Windows& windows, std::span<const std::int64_t> sizes, const Layout& x,
            std::span<const std::int64_t> taps);
  std::vector<cpu::MatrixStrides> lay(const std::vector<cpu::MatrixStrides>& tensors);
  std::vector<cpu::MatrixStrides> lay_by_channels(const std::vector<cpu::MatrixStrides>& tensors);
  std::vector<cpu::MatrixStrides> lay_by_places(const std::vector<cpu::MatrixStrides>& tensors);
  std::unique_ptr<cpu::MatrixTiles> tiles() const;

  cpu::ConvolutionShape shape_;
  cpu::PlaceWeight place_weight_;
  bool by_places_ = false;
  int rank_ = 0;
};

}  // namespace dvm

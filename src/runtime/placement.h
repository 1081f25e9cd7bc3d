// Placement: where every tensor of a Flow lies for one tuple of input shapes: in an input, an output or the arena, and
// with which strides. launch_plan.cpp asks it for each argument of a launch.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "runtime/arena.h"
#include "runtime/binding.h"
#include "runtime/flow.h"
#include "runtime/layout.h"
#include "symbols/dim_values.h"

namespace dvm {

/// An address relative to something that only the call knows.
struct Place {
  enum Kind : std::uint8_t { kInput, kOutput, kArena, kPacked } kind = kInput;
  /// kInput, kOutput: number within the Graph. kArena: of the block, until settle(). kPacked: in the plan.
  std::int32_t index = 0;
  std::int64_t offset = 0;  // bytes

  bool operator==(const Place&) const = default;
};

struct PlacedTensor {
  Place place;
  Layout layout;
  bool placed = false;
};

class Placement {
 public:
  Placement(const Flow& flow, const DimValues& values);

  void take_inputs(std::span<const TensorView> inputs);
  /// Output `number` is the memory of input `input`: it is made there when nothing needs the input any more, else elsewhere.
  void give_input(int input, std::size_t number);
  /// The input whose memory tensor `tensor` is to be in, or -1.
  int given_to(int tensor) const;
  /// Output `number` has this layout; what is made in it will be.
  void place_output(std::size_t number, const Layout& layout);
  /// A place for what step `step` makes, in memory of its own or inside of a concat, unless it has one already.
  const PlacedTensor& make(int tensor, int step);
  /// Takes the view `tensor`. False when only a copy can: a reshape of what is not dense.
  bool view(int tensor);
  /// The place of part `part` of the concat `whole`.
  PlacedTensor part(int whole, std::size_t part) const;
  /// Whether part `part` of the concat `whole` was made where it belongs.
  bool is_in_place(int whole, std::size_t part) const;

  const PlacedTensor& at(int tensor) const { return tensors_[tensor]; }
  void put(int tensor, const PlacedTensor& where) { tensors_[tensor] = where; }

  /// Bytes of the arena that are needed in step `step`.
  Place scratch(std::int64_t bytes, int step) {
    return {Place::kArena, blocks_.add(bytes, step), 0};
  }
  void keep(const Place& place, int step);
  /// Whether nothing after step `step` needs the block of the arena in which `place` is.
  bool ends(const Place& place, int step) const {
    if (place.kind == Place::kInput) return input_last_[place.index] <= step;
    return place.kind == Place::kArena && blocks_.last(place.index) <= step;
  }
  /// Moves a tensor that has a block of its own to where another one ends, in the same layout.
  void overwrite(int tensor, const Place& place);
  /// Chooses the offsets in the arena, where steps overlap as ArenaLayout::widen takes it; returns its bytes.
  /// Afterwards places can be settled.
  std::int64_t assign(std::span<const std::pair<int, int>> overlaps) {
    blocks_.widen(overlaps);
    return blocks_.assign();
  }
  void settle(Place& place) const;

  /// The sizes of a value of the Graph, until the next call.
  std::span<const std::int64_t> sizes_of(Value value);
  /// Throws std::invalid_argument for a dimension that would be negative.
  std::int64_t extent(Dim dim) const;

 private:
  const Graph& graph() const { return flow_.graph; }
  std::optional<Layout> written_layout(const Target& target, const Layout& wanted);
  void slice(const Node& node, const Layout& from, PlacedTensor& to) const;
  void check_reshape(const Layout& from, std::span<const std::int64_t> sizes) const;

  const Flow& flow_;
  const DimValues& values_;
  std::vector<PlacedTensor> tensors_;
  ArenaLayout blocks_;
  std::vector<int> input_last_;  // the steps that need inputs last
  std::vector<std::pair<int, int>>
      given_;  // tensors, and the inputs in whose memory they are to be
  std::int64_t sizes_[kMaxRank];
};

}  // namespace dvm

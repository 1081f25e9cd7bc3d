// Planner: makes the LaunchPlan of one tuple of shapes, step by step of a Flow. launch_plan.cpp walks the steps and knows
// outputs and views, plan_kernels.cpp schedules Kernels and copies, plan_tiles.cpp products and what else is made tile by tile.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "runtime/flow.h"
#include "runtime/launch_plan.h"
#include "runtime/overwriting.h"
#include "runtime/placement.h"
#include "runtime/stacking.h"
#include "runtime/stopwatch.h"
#include "schedule/schedule.h"

namespace dvm {

/// Of what lies in memory: an axis that is broadcast is there once.
std::int64_t bytes_of(const Layout& layout, Type type);

class Planner {
 public:
  Planner(const Flow& flow, std::span<const TensorView> inputs,
          std::span<const std::uint64_t> scalars, std::span<const TensorView> results, bool packs,
          std::span<const int> over, std::vector<Program>* programs);

  LaunchPlan take() { return std::move(plan_); }

 private:
  const Graph& graph() const { return flow_.graph; }

  // launch_plan.cpp
  void place_outputs(std::span<const TensorView> results);
  bool is_over(std::size_t output) const { return !over_.empty() && over_[output] >= 0; }
  void keep_layouts();
  void view(int tensor);
  void concat(int tensor);
  void note_checks();
  void copy_outputs();
  void settle();

  // plan_kernels.cpp
  void kernel(int number);
  // What a Kernel whose shapes are filled in becomes, its outputs moved over inputs where that is proved harmless.
  Scheduled scheduled_over(const Kernel& kernel, Overwrites& overwrites);
  void overwrite(const Kernel& kernel, const Overwrites& overwrites);
  Scheduled timed_schedule(const Kernel& kernel);
  // The shapes of a Kernel, whose outputs get their places; those of input `but` are not asked for. Returns the number of
  // positions of its loops.
  std::int64_t fill_shape(const Kernel& kernel, int but);
  bool writes_nothing(const Kernel& kernel) const;
  // Without gaps; `order` as dense() takes it.
  PlacedTensor scratch_like(Type type, const PlacedTensor& tensor, std::span<const int> order = {});
  PlacedTensor dense_copy(Type type, const PlacedTensor& from, std::span<const int> order = {});
  // Tensor arguments follow.
  void begin_arguments(Launch& launch, const std::vector<std::int32_t>& scalars);
  // Each tensor counts once; of one that is picked from no more than one element for each position is read.
  std::int64_t traffic(const Kernel& kernel, std::int64_t positions) const;
  // An axis along which the tensor has one element only is broadcast there.
  void fill_strides(std::vector<std::int64_t>& strides, const Layout& layout,
                    const std::vector<int>& dim_of_axis) const;
  void copy(Type type, const PlacedTensor& from, const PlacedTensor& to);
  void launch(Scheduled scheduled, int number, std::span<const Place> inputs,
              std::span<const Place> outputs, const std::vector<std::int32_t>& scalars,
              std::int64_t moved);
  // Where loops take no step nothing is picked, and there may be nothing to pick from.
  void pick(const Kernel& kernel, std::int64_t positions);

  // plan_tiles.cpp
  std::vector<std::int64_t> sizes_of(Value value);
  void matmul(const Step& step);
  // Whether the tensor is an input that calls seldom change, and may be read packed.
  bool is_weight(const Place& place) const;
  Place packed(const Place& input, const cpu::PackForm& form);
  void grouped(Value value);
  void convolve(const Step& step);
  void pool(const Step& step);
  bool writes_channels_last(const Step& step) const;
  // A MatmulPlan or a ConvolutionPlan, alone or with what finishes its tiles.
  template <class Plan>
  void tiles(const Step& step, Plan& plan, std::span<const PlacedTensor> operands);
  void attention(Value value);
  void scan(Value value);
  std::vector<PlacedTensor> operands_of(const Node& node);
  static std::vector<const Layout*> layouts_of(const std::vector<PlacedTensor>& operands);
  // Of a product's operands; their bytes are added to `moved`.
  std::vector<Place> places_of(Value product, std::span<const PlacedTensor> operands,
                               std::int64_t& moved) const;
  template <class Plan>
  void tiles_alone(Value value, Plan& plan, std::span<const PlacedTensor> operands);
  template <class Plan>
  void tiles_with_epilogue(const Step& step, Plan& plan, std::span<const PlacedTensor> operands);
  void add_tiled(std::unique_ptr<cpu::Tiled> tiled, int number, std::span<const Place> reads,
                 std::span<const Place> writes, const std::vector<std::int32_t>& scalars,
                 std::int64_t moved);

  Stopwatch watch_;
  const Flow& flow_;
  const bool packs_;
  const std::span<const int> over_;
  DimValues values_;
  Placement placement_;
  Stacking stacking_;
  std::vector<Program>* programs_;
  KernelShape shape_;
  std::vector<Place> reads_, writes_;  // of a launch
  std::vector<Layout> results_;        // of the outputs
  LaunchPlan plan_;
  int step_ = 0;
};

}  // namespace dvm

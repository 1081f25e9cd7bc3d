// LaunchPlan: all that one tuple of input shapes decides, worked out once: the bytecode of every launch, where each
// of its arguments lies, and the outputs to allocate. What is left for a call is to fill in addresses.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "cpu/packing.h"
#include "cpu/routine.h"
#include "cpu/stages.h"
#include "cpu/tiled.h"
#include "runtime/binding.h"
#include "runtime/flow.h"
#include "runtime/layout.h"
#include "runtime/placement.h"

namespace dvm {

struct Launch {
  cpu::Routine routine;
  std::unique_ptr<cpu::Tiled> tiled;                   // in place of a Routine
  std::uint32_t first_argument = 0, first_scalar = 0;  // in the plan's arguments and scalars
  int kernel =
      -1;  // number in the Fusion; -1 for a copy that no Kernel asked for, and a product alone
  // What the Kernel reads and writes, at the first of its launches and 0 at the others.
  std::int64_t bytes = 0;
};

/// A tensor that the caller allocates before the launches.
struct OutputPlan {
  Type type = Type::f32;
  bool dense = true;  // contiguous as indexed
  LayoutView layout;  // in LaunchPlan::extents
};

/// A weight that is read packed: that of input `input`, from byte `offset` on.
struct PackedInput {
  int input = 0;
  std::int64_t offset = 0;
  cpu::PackForm form;

  bool operator==(const PackedInput&) const = default;
};

/// Where the time went when the plan was made.
struct BuildTime {
  double bind_us = 0;      // sizes to dimensions, views, arena
  double schedule_us = 0;  // Kernels to Programs
  double encode_us = 0;    // Programs to words, bound to the CPU
  double total_us() const { return bind_us + schedule_us + encode_us; }
};

struct LaunchPlan {
  explicit LaunchPlan(const Flow& source) : flow(&source) {}
  LaunchPlan(LaunchPlan&&) = default;  // no copies: see OutputPlan::layout

  const Flow* flow;  // what it was made of: Launch::kernel counts its Kernels
  std::vector<OutputPlan> outputs;
  std::vector<Launch> launches;
  std::vector<cpu::Stage> stages;     // which launches run at once
  std::vector<Place> arguments;       // of all launches, one per tensor argument
  std::vector<std::int32_t> scalars;  // the same for scalar arguments: numbers of the Graph's
  std::vector<std::int64_t> extents;  // sizes and strides of the outputs
  std::vector<PackedInput> packed;
  std::vector<Place> checks;  // where each condition of the Graph's checks is, after the launches
  std::int64_t arena_bytes = 0;
  std::int64_t work = 0;  // elements times instructions: a rough measure of how long a call takes
  BuildTime build_time;

  /// What it occupies in memory.
  std::size_t bytes() const;
};

/// What a launch does, for people: the name of its Kernel, "copy", "matmul", or a product and the Kernel that ends it.
std::string launch_name(const Flow& flow, const Launch& launch);

/// Evaluates `flow` for inputs of these shapes. `outputs` is empty, or the tensors that will receive the results,
/// for the sake of their strides. `over` is as Executable::plan has it. `packs` allows weights to be read packed. Throws std::invalid_argument if the inputs do
/// not fit the Graph.
LaunchPlan make_launch_plan(const Flow& flow, std::span<const TensorView> inputs,
                            std::span<const std::uint64_t> scalars,
                            std::span<const TensorView> outputs = {}, bool packs = false,
                            std::span<const int> over = {});

/// The Programs of that plan, in the order of its launches, not encoded: for people and tests.
std::vector<Program> programs(const Flow& flow, std::span<const TensorView> inputs,
                              std::span<const std::uint64_t> scalars);

}  // namespace dvm

// Executable: a Graph compiled once and run for any shapes. For each tuple of input shapes it keeps
// a LaunchPlan (launch_plan.h); a repeated shape costs one look-up and the launches.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "fuse/fuse.h"
#include "graph/graph.h"
#include "runtime/launch_plan.h"
#include "runtime/plan_cache.h"
#include "runtime/versions.h"

namespace dvm {

class Executable {
 public:
  /// Throws std::invalid_argument if the Graph has no output, or a dimension that follows from no input. `speculate`
  /// allows Versions besides the one that fits all calls.
  explicit Executable(Graph graph, std::size_t cache_bytes = 64 << 20, bool speculate = true);
  ~Executable();

  /// The plan for these inputs, from the cache or made now. Throws std::invalid_argument naming the input and what
  /// was wanted when rank, type or sizes do not fit the Graph. `scalars` are read only for those that stand for a
  /// dimension. `outputs` is empty, or the tensors to write, whose strides the plan then follows. With `packs` it may read
  /// weights packed. `over` is empty, or says of each output which input it replaces, of the same layout and in the same
  /// memory, or -1 where it overlaps no input: what needs the input comes first. Thread-safe.
  std::shared_ptr<const LaunchPlan> plan(std::span<const TensorView> inputs,
                                         std::span<const std::uint64_t> scalars = {},
                                         std::span<const TensorView> outputs = {},
                                         bool packs = false, std::span<const int> over = {});

  /// Runs `plan` on tensors of the shapes it was made for. `scalars` are bits in the compute type of each scalar.
  /// `packed` are the weights of plan.packed. `threads` = 0 takes as many as the process is set to. Thread-safe. Throws std::out_of_range, after running, with
  /// the message of a check of the Graph that failed.
  void run(const LaunchPlan& plan, std::span<void* const> inputs,
           std::span<const std::uint64_t> scalars, std::span<void* const> outputs,
           std::span<const void* const> packed = {}, int threads = 0) const;

  /// The Programs of the plan for these inputs, one per launch.
  std::vector<Program> programs(std::span<const TensorView> inputs,
                                std::span<const std::uint64_t> scalars) const;

  void clear_cache();
  CacheStatistics cache_statistics() const;
  /// Of the plan that was made last.
  BuildTime last_build_time() const;

  Versions& versions() const;
  const Flow& flow() const { return versions().base(); }
  const Graph& graph() const { return flow().graph; }

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace dvm

// Executable: a Graph without calls, compiled once and run for any shapes. For each tuple of input shapes it keeps
// a LaunchPlan (launch_plan.h); a repeated shape costs one look-up and the launches.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "fuse/fuse.h"
#include "graph/graph.h"
#include "runtime/launch_plan.h"

namespace dvm {

/// A tensor as the caller has it. Strides are in bytes.
struct TensorView {
  void* data = nullptr;
  Type type = Type::f32;
  int rank = 0;
  const std::int64_t* sizes = nullptr;
  const std::int64_t* strides = nullptr;
};

class Executable {
 public:
  explicit Executable(Graph graph, std::size_t cache_bytes = 16 << 20);
  ~Executable();

  /// The plan for these inputs, from the cache or made now. Throws std::invalid_argument naming the input and what
  /// was wanted when rank, type or sizes do not fit the Graph. Thread-safe.
  std::shared_ptr<const LaunchPlan> plan(std::span<const TensorView> inputs);

  /// Runs `plan` on tensors of the shapes it was made for. `scalars` are bits in the compute type of each scalar.
  void run(const LaunchPlan& plan, std::span<void* const> inputs, std::span<const std::uint64_t> scalars,
           std::span<void* const> outputs, int threads = 0) const;

  const Graph& graph() const;
  const Fusion& fusion() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace dvm

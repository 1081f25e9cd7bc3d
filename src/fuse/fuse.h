// Fusion: cuts a Graph into Kernels, views and what joins tensors, in an order that respects their dependencies. Decided from
// relationships between dimensions, never from their values.
#pragma once

#include <string>
#include <vector>

#include "fuse/grouping.h"
#include "fuse/kernel.h"

namespace dvm {

enum class StepKind : std::uint8_t {
  kKernel,     // run kernels[index]
  kView,       // value `value` is a view (permute, expand, reshape, slice) of a tensor that exists
  kAttention,  // value `value` is an attention
  kMatmul,  // value `value` is a matrix product; kernels[index] reads it tile by tile unless index is -1
  kConvolve,  // the same of a convolution
  kPool,      // and of a pool
  kScan,      // value `value` is a scan
  kConcat,  // value `value` holds its operands, which are written where they lie in it or copied there
};

const char* name(StepKind kind);

/// Whether it makes a tensor by tiles, which a Kernel may read while caches hold them.
constexpr bool is_tiled(StepKind kind) {
  return kind == StepKind::kMatmul || kind == StepKind::kConvolve || kind == StepKind::kPool;
}

struct Step {
  StepKind kind;
  int index = -1;
  Value value = -1;
};

struct Fusion {
  std::vector<Kernel> kernels;
  std::vector<Step> steps;
  std::vector<std::string> notes;  // why two neighbours were not fused, for explain
  std::vector<Guard> guards;       // what, were it known, would let more of them be fused
};

/// Reshapes are stitched first, and cheap values repeated where that costs less: `graph` is then what the Kernels are of.
Fusion fuse(Graph& graph);

}  // namespace dvm

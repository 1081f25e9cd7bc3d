// Flow: the part of running a Graph that no shape changes: its Kernels, which tensors exist between them and for how
// long, and which of them are written straight into an output.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "fuse/fuse.h"
#include "graph/graph.h"
#include "runtime/binding.h"

namespace dvm {

/// Memory with a place of its own for a tensor: an output, or the part of a concat that an operand becomes.
struct Target {
  int tensor = -1;  // whose elements it gets
  /// The tensor that is made in this memory, which `tensor` is a view of (or the same); -1 if the elements have to be
  /// copied: inputs, and what is made in another Target.
  int written = -1;
};

/// A value that exists in memory: an input, what a Kernel writes, a concat, or a view of one of these.
struct FlowTensor {
  Value value = -1;
  int viewed = -1;  // the tensor that this one is a view of
  /// The last step that reads it; the number of steps if the call ends with it: an output, or what a check looks at.
  int last_step = 0;
  std::vector<Target> parts = {};  // of a concat
  /// The concat whose memory it is made in, and as which of its parts.
  int whole = -1, part = -1;
  /// Where its memory is ours to choose, the second axis is innermost there: see channel_order.h.
  bool channels_last = false;
};

struct Flow {
  explicit Flow(Graph graph);
  Flow(const Flow&) = delete;  // `binding` refers to `graph`
  Flow& operator=(const Flow&) = delete;

  int tensor_of(Value value) const { return tensor_of_value[value]; }

  Graph graph;
  Fusion fusion;
  Binding binding;
  std::vector<FlowTensor> tensors;  // the inputs first, in their order
  std::vector<Target> outputs;
  std::vector<int> tensor_of_value;  // -1 for values that live in registers only
  std::vector<int> scalar_of_value;  // -1 for values that are no scalars
};

}  // namespace dvm

// Segments: a Graph with calls, cut into subgraphs without calls that an Executable can run, in as few runs as the
// calls between them allow.
#pragma once

#include <cstdint>
#include <vector>

#include "graph/graph.h"

namespace dvm {

enum class SegmentKind : std::uint8_t {
  kRun,   // run `graph` on `inputs`; it gives `outputs`
  kView,  // `value` is a view of a tensor that exists, needed by a call or as an output
  kCall,  // the caller does Graph node `value`
};

/// An argument of a subgraph: a value of the whole Graph, or, where `value` is -1, what `dim` is.
struct SegmentInput {
  Value value = -1;
  Dim dim = -1;
};

struct Segment {
  SegmentKind kind = SegmentKind::kRun;
  Value value = -1;
  Graph graph{"segment"};
  std::vector<SegmentInput>
      inputs;  // one per input and scalar of `graph`, in the order of their declaration
  std::vector<Value> outputs;  // one per output of `graph`
};

/// Constants, scalars and views are made again in every subgraph that uses them, and never passed between two.
std::vector<Segment> segment_graph(const Graph& graph);

}  // namespace dvm

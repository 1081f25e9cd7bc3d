// Stitching: a Graph in which reshapes between operations have become harmless. Where one splits a dimension, or merges
// several, that dimension is replaced by its parts in everything that shares it, so that loops on both sides of the
// reshape run over the same axes. DISC (section 4.2) calls the two shapes product-equal; Facts::groups finds them.
#pragma once

#include "graph/graph.h"

namespace dvm {

/// The same computation, inputs, outputs and facts. Returns the Graph itself where there is nothing to stitch.
Graph stitch(Graph graph);

}  // namespace dvm

// Which tensors between the steps of a Flow have their channels side by side in memory, [n, ..., c] for what the Graph knows
// as [n, c, ...]: what convolutions with packed weights write (cpu/convolution_by_places.h), and what follows from it element
// by element, by pools and by joining. Decided without sizes: any step takes any order, so the choice is one of speed alone.
#pragma once

#include <vector>

namespace dvm {

struct Flow;

/// Marks the tensors of a Flow whose steps and Targets are known.
void choose_channel_order(Flow& flow);

/// The axes of a tensor of that order, the outermost first.
std::vector<int> channels_last(int rank);

}  // namespace dvm

// Splitting a reduction over few blocks into parts that run side by side, and joining them in a fixed order. How
// many parts there are depends on the shape alone, so results do not depend on the number of threads.
#pragma once

#include "schedule/schedule.h"

namespace dvm {

/// The parts worth having for a Kernel with this many parallel blocks and chunks; 1 means not to split.
std::int64_t choose_parts(const Kernel& kernel, std::int64_t blocks, std::int64_t chunks,
                          std::int64_t elements);

/// For each level of reductions a Stage of partial results and a Stage that joins them; then the outputs.
Scheduled split(const Kernel& kernel, const KernelShape& shape);

}  // namespace dvm

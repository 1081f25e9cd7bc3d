// Emission: a Kernel, its Space and its Tiling become a Program.
#pragma once

#include <cstdint>
#include <vector>

#include "schedule/slot_table.h"

namespace dvm {

/// Arguments of the Program: the Kernel's inputs, then its outputs.
Program emit(const Kernel& kernel, const KernelShape& shape, const Space& space, const Tiling& tile,
             const Parts& parts = {});

}  // namespace dvm

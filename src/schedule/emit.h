// Emission: a Kernel, its Space and its Tiling become a Program.
#pragma once

#include <cstdint>
#include <vector>

#include "schedule/space.h"
#include "schedule/tile.h"

namespace dvm {

struct Parts {
  std::int64_t count = 1;
  std::vector<std::int64_t> output_strides;  // bytes from part to part, per output
};

/// Arguments of the Program: the Kernel's inputs, then its outputs.
Program emit(const Kernel& kernel, const KernelShape& shape, const Space& space, const Tiling& tile,
             const Parts& parts = {});

}  // namespace dvm

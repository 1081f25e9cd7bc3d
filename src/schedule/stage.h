// The tile of one Stage, with the register pressure estimated from its terms.
#pragma once

#include "schedule/space.h"
#include "schedule/tile.h"

namespace dvm {

Tiling tile_for(const Kernel& kernel, const Space& space);

}  // namespace dvm

// Which two axes form the tile and how large it is.
#pragma once

#include "fuse/kernel.h"
#include "schedule/space.h"

namespace dvm {

struct Tiling {
  int row = -1;  // index into Space::axes, or -1
  int col = -1;
  std::int64_t rows = 1;  // elements of each in one tile
  std::int64_t cols = 1;
  std::int64_t blocks = 1;  // positions of the parallel axes
  std::int64_t chunks = 1;  // positions of the reduced axes, per block
};

/// What a Kernel asks of its tile.
struct TileNeeds {
  int registers = 0;         // tile registers alive at once
  int operands = 0;          // inputs and outputs as large as the tile
  std::int64_t element = 1;  // bytes of the widest of them
  bool again = false;        // the reduced elements are read by more than one pass
};

Tiling choose_tile(const Space& space, const TileNeeds& needs);

}  // namespace dvm

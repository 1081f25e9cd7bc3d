// A Routine: a Program bound to the kernels of this CPU, made at the start of a launch and then read by all its threads.
// It holds a Step for every instruction and every shape of tile that occurs (whole tiles, and the cut ones at the ends
// of the row and the column axis), and for every slot that moves how far it moves at each step through the space.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "cpu/dispatch.h"
#include "cpu/step.h"
#include "isa/words.h"

namespace dvm::cpu {

/// Counts through axes, the last one fastest, and tells which slots move how far.
struct Walk {
  static constexpr int kMost = kMaxAxes + 1;  // and the parts
  int digits = 0;
  std::int64_t steps[kMost] = {};
  std::int64_t total = 1;
  // Slots that move, and per digit how far: `unit` for one step of it alone, `delta` with all digits after it
  // going back to 0.
  std::vector<std::uint16_t> slots;
  std::vector<std::int64_t> unit;   // [digit][slot]
  std::vector<std::int64_t> delta;  // [digit][slot]

  void clear();
};

struct BoundSection {
  SectionKind kind;
  std::uint32_t first, count;
};

/// A tensor read or written tile after tile, each right behind the one before: the next can be fetched during this one.
struct Ahead {
  std::uint16_t slot;
  bool written;
  std::int64_t bytes;  // of a tile
};

inline constexpr int kTileShapes = 4;  // bit 0: cut rows, bit 1: cut columns

class Routine {
 public:
  /// Binds `words`. Reuses memory of the last program it was bound to.
  void bind(std::span<const Word> words, const KernelTable& kernels);
  /// What it occupies in memory.
  std::size_t bytes() const;

  Walk blocks, chunks;
  // The digits of the tile's axes: which walk they are in, or neither.
  int row_block = -1, col_block = -1, row_chunk = -1, col_chunk = -1;
  bool row_cut = false, col_cut = false;  // their last step is shorter
  std::int64_t parts = 1, chunks_per_part = 1;
  std::int64_t scratch_bytes = 0;
  std::vector<BoundSection> sections;
  std::vector<Step> steps[kTileShapes];
  std::vector<Ahead> ahead;  // empty where the caches hold everything anyway
  const Word* words = nullptr;
  double work = 0;  // an estimate in elements of a cheap instruction

 private:
  void bind_axes(const ProgramWords& program);
  void bind_walk(const ProgramWords& program, Walk& walk, const int* axes);
  void bind_steps(const ProgramWords& program, const KernelTable& kernels);
  void bind_ahead(const ProgramWords& program);
  void estimate(const ProgramWords& program);
};

}  // namespace dvm::cpu

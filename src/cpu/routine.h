// A Routine: a Program bound to the kernels of this CPU, made at the start of a launch and then read by all its threads.
// It holds a Step for every instruction and every shape of tile that occurs (whole tiles, and the cut ones at the ends
// of the row and the column axis), and for every slot where it begins and, if it moves, how far at each step through
// the space. Nothing of the words is needed after that. Plans keep Routines by the thousand, so they are small.
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
  int digits = 0;                             // axes of more than one step
  std::int64_t total = 1;
  std::vector<std::uint16_t> slots;  // that move
  std::vector<std::int64_t> numbers;

  std::int64_t steps(int digit) const { return numbers[static_cast<std::size_t>(digit)]; }
  /// How far each slot moves in one step of `digit` alone.
  const std::int64_t* unit(int digit) const { return numbers.data() + unit_at(digit); }
  /// The same with all digits after it going back to 0.
  const std::int64_t* delta(int digit) const { return numbers.data() + unit_at(digits + digit); }
  std::size_t unit_at(int digit) const {
    return static_cast<std::size_t>(digits) + static_cast<std::size_t>(digit) * slots.size();
  }
};

/// Where a slot is when a run begins, relative to what only the run knows: see SlotWords.
struct Base {
  std::int64_t offset;
  SlotKind kind;
  std::uint16_t index;
};

struct BoundSection {
  SectionKind kind;
  std::uint16_t first, count;
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
  /// Binds `words`, which need not outlive the call. Reuses memory of the last program it was bound to; in a new
  /// Routine no vector has room to spare.
  void bind(std::span<const Word> words, const KernelTable& kernels);
  /// What it occupies in memory.
  std::size_t bytes() const;

  Walk blocks, chunks;
  // The digits of the tile's axes: which walk they are in, or neither.
  std::int8_t row_block = -1, col_block = -1, row_chunk = -1, col_chunk = -1;
  bool row_cut = false, col_cut = false;  // their last step is shorter
  std::int64_t parts = 1, chunks_per_part = 1;
  std::int64_t scratch_bytes = 0;
  std::vector<BoundSection> sections;
  std::vector<Base> slots;
  std::vector<Ahead> ahead;  // empty where the caches hold everything anyway
  double work = 0;           // an estimate in elements of a cheap instruction

  /// The Steps of all instructions for one shape of tile.
  const Step* steps(unsigned shape) const { return steps_.data() + first_step_[shape]; }

 private:
  void bind_axes(const ProgramWords& program);
  void bind_walk(const ProgramWords& program, Walk& walk, const int* axes,
                 const std::int64_t* steps);
  void bind_steps(const ProgramWords& program, const KernelTable& kernels);
  void bind_ahead(const ProgramWords& program);
  void estimate(const ProgramWords& program);

  std::vector<Step> steps_;  // one shape of tile after the other
  std::uint32_t first_step_[kTileShapes] = {};
};

}  // namespace dvm::cpu

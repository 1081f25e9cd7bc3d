#include "cpu/routine.h"

#include <algorithm>

#include "cpu/bind.h"
#include "cpu/held.h"

namespace dvm::cpu {
namespace {

std::int64_t blocks_of(const ProgramWords& program, int axis) {
  const std::int64_t block = program.block(axis);
  return (program.extent(axis) + block - 1) / block;
}

bool is_cut(const ProgramWords& program, int axis) {
  return axis >= 0 && program.extent(axis) > program.block(axis) &&
         program.extent(axis) % program.block(axis) != 0;
}

std::int64_t tile_extent(const ProgramWords& program, int axis, bool cut) {
  if (axis < 0) return 1;
  const std::int64_t extent = program.extent(axis), block = program.block(axis);
  return cut ? extent % block : std::min(extent, block);
}

bool can_move(SlotKind kind) {
  return kind == SlotKind::kArgument || kind == SlotKind::kIndex || kind == SlotKind::kKept;
}

}  // namespace

// `axes` has the axis of each digit, -1 for the parts.
void Routine::bind_walk(const ProgramWords& program, Walk& walk, const int* axes,
                        const std::int64_t* steps) {
  const bool parallel = &walk == &blocks;
  std::uint16_t slots[kMaxSlots];
  std::size_t moving = 0;
  for (int i = 0; i < program.slots(); ++i) {
    const SlotWords slot = program.slot(i);
    // Scratch belongs to the block: kept values move with the chunks only.
    if (!can_move(slot.kind()) || (parallel && slot.kind() == SlotKind::kKept)) continue;
    for (int digit = 0; digit < walk.digits; ++digit) {
      const std::int64_t stride = axes[digit] < 0 ? slot.part_stride() : slot.stride(axes[digit]);
      if (stride == 0) continue;
      slots[moving++] = static_cast<std::uint16_t>(i);
      break;
    }
  }
  walk.slots.assign(slots, slots + moving);
  walk.numbers.resize(walk.unit_at(2 * walk.digits));
  std::copy_n(steps, walk.digits, walk.numbers.begin());
  for (std::size_t m = 0; m < moving; ++m) {
    const SlotWords slot = program.slot(walk.slots[m]);
    std::int64_t turn_back = 0;  // of all later digits, from their last step to 0
    for (int digit = walk.digits - 1; digit >= 0; --digit) {
      const int axis = axes[digit];
      const std::int64_t unit =
          axis < 0 ? slot.part_stride() : slot.stride(axis) * program.block(axis);
      walk.numbers[walk.unit_at(digit) + m] = unit;
      walk.numbers[walk.unit_at(walk.digits + digit) + m] = unit - turn_back;
      turn_back += unit * (steps[digit] - 1);
    }
  }
}

void Routine::bind_axes(const ProgramWords& program) {
  int block_axes[Walk::kMost], chunk_axes[Walk::kMost];
  std::int64_t block_steps[Walk::kMost], chunk_steps[Walk::kMost];
  blocks.digits = chunks.digits = 0;
  blocks.total = chunks.total = 1;
  row_block = col_block = row_chunk = col_chunk = -1;
  for (int axis = 0; axis < program.axes(); ++axis) {
    const std::int64_t steps = blocks_of(program, axis);
    if (program.role(axis) == Role::kIndexed) continue;
    const bool parallel = program.role(axis) == Role::kParallel;
    Walk& walk = parallel ? blocks : chunks;
    walk.total *= steps;
    if (steps <= 1) continue;
    const auto digit = static_cast<std::int8_t>(walk.digits++);
    if (axis == program.row_axis()) (parallel ? row_block : row_chunk) = digit;
    if (axis == program.col_axis()) (parallel ? col_block : col_chunk) = digit;
    (parallel ? block_axes : chunk_axes)[digit] = axis;
    (parallel ? block_steps : chunk_steps)[digit] = steps;
  }
  parts = program.parts();
  if (parts > 1) {
    block_axes[blocks.digits] = -1;
    block_steps[blocks.digits++] = parts;
    blocks.total *= parts;
  }
  chunks_per_part = (chunks.total + parts - 1) / parts;
  row_cut = is_cut(program, program.row_axis());
  col_cut = is_cut(program, program.col_axis());
  bind_walk(program, blocks, block_axes, block_steps);
  bind_walk(program, chunks, chunk_axes, chunk_steps);
}

void Routine::bind_steps(const ProgramWords& program, const KernelTable& kernels) {
  sections.clear();
  sections.reserve(static_cast<std::size_t>(program.sections()));
  for (int i = 0; i < program.sections(); ++i) {
    const SectionWord section = program.section(i);
    sections.push_back({section.kind(), static_cast<std::uint16_t>(section.first()),
                        static_cast<std::uint16_t>(section.count())});
  }
  const std::size_t shapes = (row_cut ? 2u : 1u) * (col_cut ? 2u : 1u);
  steps_.clear();
  steps_.reserve(shapes * static_cast<std::size_t>(program.instructions()));
  for (int shape = 0; shape < kTileShapes; ++shape) {
    const bool rows_cut = (shape & 1) != 0, cols_cut = (shape & 2) != 0;
    const std::size_t first = steps_.size();
    first_step_[shape] = static_cast<std::uint32_t>(first);
    if ((rows_cut && !row_cut) || (cols_cut && !col_cut)) continue;
    const std::int64_t rows = tile_extent(program, program.row_axis(), rows_cut);
    const std::int64_t cols = tile_extent(program, program.col_axis(), cols_cut);
    for (int i = 0; i < program.instructions(); ++i) {
      steps_.push_back(bind_step(program, program.instruction(i), rows, cols, kernels));
    }
    for (const BoundSection& section : sections) {
      if (section.kind != SectionKind::kOnce) continue;
      for (int i = section.first; i < section.first + section.count; ++i) {
        const Op op = op_of(program.instruction(i).opcode());
        steps_[first + static_cast<std::size_t>(i)].starts = info(op).family == Family::kReduce;
      }
    }
  }
}

// Worth it for Programs that compute long between reads and writes, over tensors that no cache holds. A short one waits
// for memory anyway, and its own requests overlap best.
void Routine::bind_ahead(const ProgramWords& program) {
  constexpr double kCachedBytes = 16 << 20;
  constexpr int kLong = 4;
  ahead.clear();
  if (chunks.total != 1 || parts != 1 || blocks.digits == 0) return;
  bool costly = false;
  for (int i = 0; i < program.instructions(); ++i) {
    const Op op = op_of(program.instruction(i).opcode());
    costly = costly || (info(op).properties & kCostly) != 0;
  }
  if (!costly || program.instructions() < kLong) return;
  const std::int64_t rows = tile_extent(program, program.row_axis(), false);
  const std::int64_t cols = tile_extent(program, program.col_axis(), false);
  const std::int64_t* const step = blocks.unit(blocks.digits - 1);
  double total = 0;
  for (std::size_t m = 0; m < blocks.slots.size(); ++m) {
    const SlotWords slot = program.slot(blocks.slots[m]);
    const std::int64_t tile = rows * cols * dvm::bytes(slot.type());
    if (slot.kind() != SlotKind::kArgument || slot.domain() != Domain::kTile || step[m] != tile)
      continue;
    bool written = false;
    for (int i = 0; i < program.instructions(); ++i)
      written = written || program.instruction(i).dst() == blocks.slots[m];
    ahead.push_back({blocks.slots[m], written, tile});
    total += static_cast<double>(tile) * static_cast<double>(blocks.total);
  }
  if (total < kCachedBytes) ahead.clear();
}

void Routine::estimate(const ProgramWords& program) {
  constexpr double kCostlyWork = 6;  // of a transcendental, in cheap instructions
  const double blocks_run = static_cast<double>(blocks.total) / static_cast<double>(parts);
  work = 0;
  for (const BoundSection& section : sections) {
    double one = 0;
    for (int i = section.first; i < section.first + section.count; ++i) {
      const Step& step = steps(0)[i];
      const Op op = op_of(program.instruction(i).opcode());
      const double each = (info(op).properties & kCostly) != 0 ? kCostlyWork : 1;
      one += each * static_cast<double>(step.outer * step.inner);
    }
    work += one * blocks_run *
            (section.kind == SectionKind::kEach ? static_cast<double>(chunks.total)
                                                : static_cast<double>(parts));
  }
}

std::size_t Routine::bytes() const {
  std::size_t total = sizeof(Routine) + held_bytes(sections) + held_bytes(slots) +
                      held_bytes(ahead) + held_bytes(steps_);
  for (const Walk* walk : {&blocks, &chunks})
    total += held_bytes(walk->slots) + held_bytes(walk->numbers);
  return total;
}

void Routine::bind(std::span<const Word> source, const KernelTable& kernels) {
  const ProgramWords program(source.data());
  scratch_bytes = program.scratch_bytes();
  slots.clear();
  slots.reserve(static_cast<std::size_t>(program.slots()));
  for (int i = 0; i < program.slots(); ++i) {
    const SlotWords slot = program.slot(i);
    slots.push_back({slot.offset(), slot.kind(), static_cast<std::uint16_t>(slot.index())});
  }
  bind_axes(program);
  bind_steps(program, kernels);
  bind_ahead(program);
  estimate(program);
}

}  // namespace dvm::cpu

#include "cpu/routine.h"

#include <algorithm>

#include "cpu/bind.h"

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

void Walk::clear() {
  digits = 0;
  total = 1;
  slots.clear();
  unit.clear();
  delta.clear();
}

// `axes` has the axis of each digit, -1 for the parts.
void Routine::bind_walk(const ProgramWords& program, Walk& walk, const int* axes) {
  const bool parallel = &walk == &blocks;
  for (int i = 0; i < program.slots(); ++i) {
    const SlotWords slot = program.slot(i);
    // Scratch belongs to the block: kept values move with the chunks only.
    if (!can_move(slot.kind()) || (parallel && slot.kind() == SlotKind::kKept)) continue;
    for (int digit = 0; digit < walk.digits; ++digit) {
      if (walk.steps[digit] <= 1) continue;
      const std::int64_t stride = axes[digit] < 0 ? slot.part_stride() : slot.stride(axes[digit]);
      if (stride == 0) continue;
      walk.slots.push_back(static_cast<std::uint16_t>(i));
      break;
    }
  }
  const std::size_t moving = walk.slots.size();
  walk.unit.resize(static_cast<std::size_t>(walk.digits) * moving);
  walk.delta.resize(static_cast<std::size_t>(walk.digits) * moving);
  for (std::size_t m = 0; m < moving; ++m) {
    const SlotWords slot = program.slot(walk.slots[m]);
    std::int64_t turn_back = 0;  // of all later digits, from their last step to 0
    for (int digit = walk.digits - 1; digit >= 0; --digit) {
      const int axis = axes[digit];
      const std::int64_t unit =
          axis < 0 ? slot.part_stride() : slot.stride(axis) * program.block(axis);
      const std::size_t at = static_cast<std::size_t>(digit) * moving + m;
      walk.unit[at] = unit;
      walk.delta[at] = unit - turn_back;
      turn_back += unit * (walk.steps[digit] - 1);
    }
  }
}

void Routine::bind_axes(const ProgramWords& program) {
  int block_axes[Walk::kMost], chunk_axes[Walk::kMost];
  blocks.clear();
  chunks.clear();
  row_block = col_block = row_chunk = col_chunk = -1;
  for (int axis = 0; axis < program.axes(); ++axis) {
    if (program.role(axis) == Role::kIndexed) continue;
    const bool parallel = program.role(axis) == Role::kParallel;
    Walk& walk = parallel ? blocks : chunks;
    if (axis == program.row_axis()) (parallel ? row_block : row_chunk) = walk.digits;
    if (axis == program.col_axis()) (parallel ? col_block : col_chunk) = walk.digits;
    (parallel ? block_axes : chunk_axes)[walk.digits] = axis;
    walk.steps[walk.digits++] = blocks_of(program, axis);
    walk.total *= blocks_of(program, axis);
  }
  parts = program.parts();
  if (parts > 1) {
    block_axes[blocks.digits] = -1;
    blocks.steps[blocks.digits++] = parts;
    blocks.total *= parts;
  }
  chunks_per_part = (chunks.total + parts - 1) / parts;
  row_cut = is_cut(program, program.row_axis());
  col_cut = is_cut(program, program.col_axis());
  bind_walk(program, blocks, block_axes);
  bind_walk(program, chunks, chunk_axes);
}

void Routine::bind_steps(const ProgramWords& program, const KernelTable& kernels) {
  sections.clear();
  for (int i = 0; i < program.sections(); ++i) {
    const SectionWord section = program.section(i);
    sections.push_back({section.kind(), section.first(), section.count()});
  }
  for (int shape = 0; shape < kTileShapes; ++shape) {
    const bool rows_cut = (shape & 1) != 0, cols_cut = (shape & 2) != 0;
    steps[shape].clear();
    if ((rows_cut && !row_cut) || (cols_cut && !col_cut)) continue;
    steps[shape].reserve(static_cast<std::size_t>(program.instructions()));
    const std::int64_t rows = tile_extent(program, program.row_axis(), rows_cut);
    const std::int64_t cols = tile_extent(program, program.col_axis(), cols_cut);
    for (int i = 0; i < program.instructions(); ++i) {
      steps[shape].push_back(bind_step(program, program.instruction(i), rows, cols, kernels));
    }
    for (const BoundSection& section : sections) {
      if (section.kind != SectionKind::kOnce) continue;
      for (std::uint32_t i = section.first; i < section.first + section.count; ++i) {
        const Op op = op_of(program.instruction(static_cast<int>(i)).opcode());
        steps[shape][i].starts = info(op).family == Family::kReduce;
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
  const std::size_t last = static_cast<std::size_t>(blocks.digits - 1) * blocks.slots.size();
  double total = 0;
  for (std::size_t m = 0; m < blocks.slots.size(); ++m) {
    const SlotWords slot = program.slot(blocks.slots[m]);
    const std::int64_t tile = rows * cols * dvm::bytes(slot.type());
    if (slot.kind() != SlotKind::kArgument || slot.domain() != Domain::kTile ||
        blocks.unit[last + m] != tile)
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
    for (std::uint32_t i = section.first; i < section.first + section.count; ++i) {
      const Step& step = steps[0][i];
      const Op op = op_of(program.instruction(static_cast<int>(i)).opcode());
      const double each = (info(op).properties & kCostly) != 0 ? kCostlyWork : 1;
      one += each * static_cast<double>(step.outer * step.inner);
    }
    work += one * blocks_run *
            (section.kind == SectionKind::kEach ? static_cast<double>(chunks.total)
                                                : static_cast<double>(parts));
  }
}

std::size_t Routine::bytes() const {
  std::size_t total = sizeof(Routine) + sections.capacity() * sizeof(BoundSection) +
                      ahead.capacity() * sizeof(Ahead);
  for (const std::vector<Step>& shape : steps) total += shape.capacity() * sizeof(Step);
  for (const Walk* walk : {&blocks, &chunks}) {
    total += walk->slots.capacity() * sizeof(walk->slots[0]) +
             (walk->unit.capacity() + walk->delta.capacity()) * sizeof(std::int64_t);
  }
  return total;
}

void Routine::bind(std::span<const Word> source, const KernelTable& kernels) {
  const ProgramWords program(source.data());
  words = source.data();
  scratch_bytes = program.scratch_bytes();
  bind_axes(program);
  bind_steps(program, kernels);
  bind_ahead(program);
  estimate(program);
}

}  // namespace dvm::cpu

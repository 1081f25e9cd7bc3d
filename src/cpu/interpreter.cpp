// Runs blocks of a Routine on the calling thread; stages.cpp shares them out. A thread has scratch memory and a table of
// addresses of its own; walking on moves the addresses of the slots that move, and running a tile is calling one kernel
// per instruction.
#include "cpu/interpreter.h"

#include <algorithm>

#include "cpu/scratch.h"
#include "cpu/stages.h"

namespace dvm::cpu {
namespace {

std::uintptr_t first_address(const Base& slot, const Launch& launch, std::uintptr_t scratch) {
  const std::uintptr_t offset = static_cast<std::uintptr_t>(slot.offset);
  switch (slot.kind) {
    case SlotKind::kRegister:
    case SlotKind::kKept:
      return scratch + offset;
    case SlotKind::kArgument:
      return reinterpret_cast<std::uintptr_t>(launch.arguments[slot.index]) + offset;
    case SlotKind::kScalar:
      return reinterpret_cast<std::uintptr_t>(launch.scalars + slot.index);
    case SlotKind::kConstant:
      return reinterpret_cast<std::uintptr_t>(&slot.offset);
    case SlotKind::kIndex:
      return offset;
  }
  return 0;
}

// Where a walk stands, and the addresses that follow it.
class Position {
 public:
  Position(const Walk& walk, std::uintptr_t* data) : walk_(walk), data_(data) {}

  /// From the start of the walk to step `step`.
  void go_to(std::int64_t step) {
    for (int digit = walk_.digits - 1; digit >= 0; --digit) {
      at_[digit] = step % walk_.steps(digit);
      step /= walk_.steps(digit);
      if (at_[digit] != 0) move(walk_.unit(digit), at_[digit]);
    }
  }

  void advance() {
    int digit = walk_.digits - 1;
    for (; digit > 0 && at_[digit] + 1 == walk_.steps(digit); --digit) at_[digit] = 0;
    if (digit < 0) return;
    ++at_[digit];
    move(walk_.delta(digit), 1);
  }

  bool is_last(int digit) const { return digit >= 0 && at_[digit] + 1 == walk_.steps(digit); }

 private:
  void move(const std::int64_t* by, std::int64_t times) {
    for (std::size_t m = 0; m < walk_.slots.size(); ++m) {
      data_[walk_.slots[m]] += static_cast<std::uintptr_t>(by[m] * times);
    }
  }

  const Walk& walk_;
  std::uintptr_t* data_;
  std::int64_t at_[Walk::kMost] = {};
};

class Runner {
 public:
  Runner(const Routine& routine, std::uintptr_t* data) : routine_(routine), data_(data) {}

  void run(std::int64_t first, std::int64_t end) {
    Position block(routine_.blocks, data_);
    block.go_to(first);
    for (std::int64_t b = first; b < end; ++b) {
      if (b != first) block.advance();
      run_block(block, b % routine_.parts);
    }
  }

 private:
  void run_block(const Position& block, std::int64_t part) {
    const Routine& r = routine_;
    const std::int64_t first = std::min(part * r.chunks_per_part, r.chunks.total);
    const std::int64_t end = std::min(first + r.chunks_per_part, r.chunks.total);
    const unsigned cut = (r.row_cut && block.is_last(r.row_block) ? 1u : 0u) |
                         (r.col_cut && block.is_last(r.col_block) ? 2u : 0u);
    for (const BoundSection& section : r.sections) {
      if (section.kind == SectionKind::kOnce && !r.ahead.empty()) {
        run_fetching(r.steps(cut) + section.first, section.count);
      } else if (section.kind == SectionKind::kOnce) {
        run_tile(r.steps(cut) + section.first, section.count);
      } else if (r.chunks.total == 1) {
        if (first < end) run_tile(r.steps(cut) + section.first, section.count);
      } else {
        run_chunks(section, cut, first, end);
      }
    }
  }

  void run_chunks(const BoundSection& section, unsigned cut, std::int64_t first, std::int64_t end) {
    if (first >= end) return;
    const Routine& r = routine_;
    std::uintptr_t start[kMaxSlots];
    const std::size_t moving = r.chunks.slots.size();
    for (std::size_t m = 0; m < moving; ++m) start[m] = data_[r.chunks.slots[m]];
    Position chunk(r.chunks, data_);
    if (first != 0) chunk.go_to(first);
    for (std::int64_t c = first; c < end; ++c) {
      if (c != first) chunk.advance();
      const unsigned shape = cut | (r.row_cut && chunk.is_last(r.row_chunk) ? 1u : 0u) |
                             (r.col_cut && chunk.is_last(r.col_chunk) ? 2u : 0u);
      run_tile(r.steps(shape) + section.first, section.count);
    }
    for (std::size_t m = 0; m < moving; ++m) data_[r.chunks.slots[m]] = start[m];
  }

  void run_tile(const Step* step, std::uint32_t count) {
    for (const Step* const end = step + count; step != end; ++step) step->kernel(*step, data_);
  }

  // Spreads the fetching of the next tile over the instructions on this one, so that memory works while they compute.
  void run_fetching(const Step* step, std::uint32_t count) {
    constexpr std::int64_t kLine = 64;
    const Ahead* tensor = routine_.ahead.data();
    const Ahead* const end = tensor + routine_.ahead.size();
    std::int64_t total = 0;
    for (const Ahead& one : routine_.ahead) total += one.bytes / kLine;
    const std::int64_t share = total / count + 1;
    std::int64_t line = 0;
    for (std::uint32_t i = 0; i < count; ++i) {
      step[i].kernel(step[i], data_);
      for (std::int64_t left = share; left > 0 && tensor != end; --left) {
        const std::uintptr_t next =
            data_[tensor->slot] + static_cast<std::uintptr_t>(tensor->bytes);
        const void* const at =
            reinterpret_cast<const void*>(next + static_cast<std::uintptr_t>(line));
        if (tensor->written) {
          __builtin_prefetch(at, 1);
        } else {
          __builtin_prefetch(at, 0, 2);
        }
        line += kLine;
        if (line >= tensor->bytes) line = 0, ++tensor;
      }
    }
  }

  const Routine& routine_;
  std::uintptr_t* data_;
};

}  // namespace

void run_blocks(const Routine& routine, const Launch& launch, std::int64_t first,
                std::int64_t end) {
  if (first >= end) return;
  thread_local Scratch scratch;
  const std::uintptr_t memory = scratch.get(static_cast<std::size_t>(routine.scratch_bytes));
  std::uintptr_t data[kMaxSlots];
  std::uintptr_t* at = data;
  for (const Base& slot : routine.slots) *at++ = first_address(slot, launch, memory);
  Runner(routine, data).run(first, end);
}

void run(const Routine& routine, const Launch& launch, int threads) {
  const Job job{.routine = &routine, .launch = launch};
  const Stage stage{0, 1};
  run({&job, 1}, {&stage, 1}, threads);
}

void run(std::span<const Word> words, const Launch& launch, int threads) {
  thread_local Routine routine;
  routine.bind(words, *isa().kernels);
  run(routine, launch, threads);
}

}  // namespace dvm::cpu

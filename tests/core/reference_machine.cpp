#include "reference_machine.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "cpu/step.h"
#include "isa/opcode.h"
#include "schedule/literals.h"

extern "C" const void* kernel_table_portable();

namespace dvm::test {
namespace {

using Point = std::array<std::int64_t, kMaxAxes>;

using cpu::KernelTable, cpu::Step, cpu::kStepSlots;

class Machine {
 public:
  Machine(const Program& program, const cpu::Launch& launch)
      : program_(program),
        launch_(launch),
        kernels_(*static_cast<const KernelTable*>(kernel_table_portable())),
        scratch_(static_cast<std::size_t>(program.scratch_bytes) + 64) {}

  void run() {
    Point point{};
    for (const Axis& axis : program_.axes) {
      if (axis.role == Role::kParallel && axis.extent == 0) return;
    }
    walk(Role::kParallel, 0, point, [&](const Point& block) {
      for (part_ = 0; part_ < program_.parts; ++part_) run_block(block);
    });
  }

 private:
  // Calls `visit` at the first element of every block of the axes with this role, the last axis fastest.
  template <class Visit>
  void walk(Role role, std::size_t axis, Point& point, const Visit& visit) {
    if (axis == program_.axes.size()) return visit(point);
    const Axis& a = program_.axes[axis];
    if (a.role != role) return walk(role, axis + 1, point, visit);
    for (std::int64_t at = 0; at < a.extent; at += a.block) {
      point[axis] = at;
      walk(role, axis + 1, point, visit);
    }
    point[axis] = 0;
  }

  void run_block(const Point& block) {
    std::int64_t chunks = 0;
    Point point = block;
    walk(Role::kReduce, 0, point, [&](const Point&) { ++chunks; });
    const std::int64_t per_part = (chunks + program_.parts - 1) / program_.parts;
    for (const Section& section : program_.sections) {
      if (section.kind == SectionKind::kOnce) {
        run_section(section, block);
        continue;
      }
      std::int64_t chunk = 0;
      Point inside = block;
      walk(Role::kReduce, 0, inside, [&](const Point& at) {
        if (chunk / std::max<std::int64_t>(per_part, 1) == part_) run_section(section, at);
        ++chunk;
      });
    }
  }

  std::int64_t tile(int axis, const Point& at) const {
    if (axis < 0) return 1;
    const auto i = static_cast<std::size_t>(axis);
    return std::min(program_.axes[i].block, program_.axes[i].extent - at[i]);
  }

  void run_section(const Section& section, const Point& at) {
    rows_ = tile(program_.row_axis, at);
    cols_ = tile(program_.col_axis, at);
    for (const Instruction& instruction : section.code) {
      if (section.kind == SectionKind::kOnce && info(instruction.op).family == Family::kReduce)
        start(instruction, at);
      run_instruction(instruction, at);
    }
  }

  // In a once-section a reduction begins afresh: each accumulator is what it is after no elements.
  void start(const Instruction& instruction, const Point& at) {
    const bool has_rows = instruction.domain == Domain::kTile || instruction.domain == Domain::kRow;
    const bool has_cols = instruction.domain == Domain::kTile || instruction.domain == Domain::kCol;
    const bool counts = info(instruction.op).accumulators == 2;
    for (std::int64_t r = 0; r < (has_rows ? rows_ : 1); ++r) {
      for (std::int64_t c = 0; c < (has_cols ? cols_ : 1); ++c) {
        set(instruction.dst, at, r, c,
            counts ? 0 : identity_bits(instruction.op, instruction.type));
        if (counts)
          set(instruction.operands[1], at, r, c, identity_bits(instruction.op, instruction.type));
      }
    }
  }

  void set(std::uint16_t number, const Point& at, std::int64_t r, std::int64_t c,
           std::uint64_t bits) {
    const Slot& slot = program_.slots[number];
    std::memcpy(reinterpret_cast<void*>(place(slot, at, r, c)), &bits,
                static_cast<std::size_t>(bytes(slot.type)));
  }

  void run_instruction(const Instruction& instruction, const Point& at) {
    const bool reduces = info(instruction.op).family == Family::kReduce;
    const Domain domain = instruction.domain;
    const bool over_rows = reduces || domain == Domain::kTile || domain == Domain::kRow;
    const bool over_cols = reduces || domain == Domain::kTile || domain == Domain::kCol;
    for (std::int64_t r = 0; r < (over_rows ? rows_ : 1); ++r) {
      for (std::int64_t c = 0; c < (over_cols ? cols_ : 1); ++c) run_element(instruction, at, r, c);
    }
  }

  void run_element(const Instruction& instruction, const Point& at, std::int64_t r,
                   std::int64_t c) {
    const bool reduces = info(instruction.op).family == Family::kReduce;
    const bool has_rows = instruction.domain == Domain::kTile || instruction.domain == Domain::kRow;
    const bool has_cols = instruction.domain == Domain::kTile || instruction.domain == Domain::kCol;
    Step step;
    std::uintptr_t places[kStepSlots] = {};
    step.operands = static_cast<std::uint8_t>(operand_count(instruction.op));
    for (int k = 0; k <= step.operands; ++k) {
      const std::uint16_t number = k == 0 ? instruction.dst : instruction.operands[k - 1];
      const bool accumulator =
          reduces && (k == 0 || (k == 2 && info(instruction.op).accumulators == 2));
      step.slots[k] = static_cast<std::uint16_t>(k);
      step.element_bytes[k] = static_cast<std::uint8_t>(bytes(program_.slots[number].type));
      places[k] = place(program_.slots[number], at, accumulator && !has_rows ? 0 : r,
                        accumulator && !has_cols ? 0 : c);
    }
    kernels_.kernels[opcode(instruction.op, instruction.type)][0](step, places);
  }

  std::uintptr_t place(const Slot& slot, const Point& at, std::int64_t r, std::int64_t c) {
    const std::int64_t size = bytes(slot.type);
    const auto scratch = reinterpret_cast<std::int64_t>(scratch_.data());
    std::int64_t address = slot.offset;
    switch (slot.kind) {
      case SlotKind::kRegister:
        address += scratch;
        if (slot.domain == Domain::kTile) address += (r * cols_ + c) * size;
        if (slot.domain == Domain::kRow) address += r * size;
        if (slot.domain == Domain::kCol) address += c * size;
        return static_cast<std::uintptr_t>(address);
      case SlotKind::kConstant:
        return reinterpret_cast<std::uintptr_t>(&slot.offset);
      case SlotKind::kScalar:
        return reinterpret_cast<std::uintptr_t>(launch_.scalars + slot.index);
      case SlotKind::kArgument:
        address += reinterpret_cast<std::int64_t>(launch_.arguments[slot.index]);
        break;
      case SlotKind::kKept:
        address += scratch;
        break;
      case SlotKind::kIndex:
        break;
    }
    for (std::size_t axis = 0; axis < program_.axes.size(); ++axis) {
      const int i = static_cast<int>(axis);
      const bool scratch_axis =
          slot.kind == SlotKind::kKept && program_.axes[axis].role == Role::kParallel;
      std::int64_t position = scratch_axis ? 0 : at[axis];
      if (i == program_.row_axis) position += r;
      if (i == program_.col_axis) position += c;
      address += position * slot.strides[axis];
    }
    if (slot.kind != SlotKind::kKept) address += part_ * slot.part_stride;
    return static_cast<std::uintptr_t>(address);
  }

  const Program& program_;
  const cpu::Launch& launch_;
  const KernelTable& kernels_;
  std::vector<unsigned char> scratch_;
  std::int64_t part_ = 0, rows_ = 1, cols_ = 1;
};

}  // namespace

void run_reference(const Program& program, const cpu::Launch& launch) {
  Machine(program, launch).run();
}

}  // namespace dvm::test

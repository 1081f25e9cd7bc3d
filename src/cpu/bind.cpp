#include "cpu/bind.h"

namespace dvm::cpu {
namespace {

// Rows shorter than this are joined into longer pieces by the expanding kernel, unless they are flat already.
constexpr std::int64_t kShortRow = 16;

struct Strides {
  std::int64_t row, col;
};

Strides strides(const ProgramWords& program, SlotWords slot, std::int64_t cols) {
  const std::int64_t size = bytes(slot.type());
  if (slot.kind() == SlotKind::kRegister) {
    switch (slot.domain()) {
      case Domain::kTile:
        return {cols * size, size};
      case Domain::kRow:
        return {size, 0};
      case Domain::kCol:
        return {0, size};
      case Domain::kOne:
        return {0, 0};
    }
  }
  const int row = program.row_axis(), col = program.col_axis();
  return {row < 0 ? 0 : slot.stride(row), col < 0 ? 0 : slot.stride(col)};
}

// The strides of slot k as the dimensions of the step need them.
void set_strides(Step& step, int k, Strides strides, Domain domain) {
  const bool along_rows = domain == Domain::kRow;
  step.inner_stride[k] = along_rows ? strides.row : strides.col;
  step.outer_stride[k] = strides.row;
}

// Makes one dimension of two where every slot allows it.
void flatten(Step& step) {
  if (step.outer == 1) return;
  if (step.inner == 1) {
    for (int k = 0; k <= step.operands; ++k) step.inner_stride[k] = step.outer_stride[k];
  } else {
    for (int k = 0; k <= step.operands; ++k) {
      if (step.outer_stride[k] != step.inner * step.inner_stride[k]) return;
    }
  }
  step.inner *= step.outer;
  step.outer = 1;
}

// The variant for the strides as they are, -1 if there is none: an operand is unit, or does not move.
int variant_of(const Step& step) {
  if (step.inner == 1) return 0;
  if (step.inner_stride[0] != step.element_bytes[0]) return -1;
  int variant = 0;
  for (int k = 1; k <= step.operands; ++k) {
    if (step.inner_stride[k] == 0) {
      variant |= 1 << (k - 1);
    } else if (step.inner_stride[k] != step.element_bytes[k]) {
      return -1;
    }
  }
  return variant;
}

void bind_elementwise(Step& step, const Kernel* variants, const KernelTable& kernels) {
  flatten(step);
  step.contiguous = variants[0];
  const int variant = variant_of(step);
  const bool whole_rows = step.outer == 1 || step.inner >= kShortRow;
  step.kernel = variant >= 0 && whole_rows && variants[variant] != nullptr ? variants[variant]
                                                                           : kernels.expand;
}

void bind_reduction(Step& step, const Kernel* variants, const KernelTable& kernels, Domain domain) {
  // The results, and the second accumulators, do not move along what is reduced inside the tile. A result for every
  // element (kTile: only axes outside the tile are reduced) is folded as a row of columns.
  const bool of_two = step.operands == 2;
  for (int k : {0, 2}) {
    if (k == 2 && of_two) break;
    if (domain == Domain::kCol || domain == Domain::kOne) step.outer_stride[k] = 0;
    if (domain == Domain::kRow || domain == Domain::kOne) step.inner_stride[k] = 0;
  }
  if (domain == Domain::kOne || domain == Domain::kTile) flatten(step);
  const bool inner = domain == Domain::kRow || domain == Domain::kOne;
  const bool broadcast = of_two && step.inner > 1 && step.inner_stride[2] == 0;
  step.contiguous = variants[(inner ? kFoldInner : kFoldOuter) | (broadcast ? kFoldBroadcast : 0)];
  const auto is_unit = [&](int k) {
    return step.inner <= 1 || step.inner_stride[k] == step.element_bytes[k];
  };
  const bool unit = is_unit(1) && (!of_two || broadcast || is_unit(2));
  const bool whole_elements = step.outer_stride[1] % step.element_bytes[1] == 0 &&
                              (!of_two || step.outer_stride[2] % step.element_bytes[2] == 0);
  const bool rows = domain != Domain::kTile || step.outer == 1;
  step.kernel = unit && whole_elements && rows ? step.contiguous : kernels.expand_reduction;
}

// What gather picks from: how far apart, and how many there are, in the places of a third operand.
void bind_gather(Step& step, const ProgramWords& program, InstructionWord instruction) {
  const SlotWords source = program.slot(static_cast<int>(instruction.operand(0)));
  const int axis = indexed_axis(program, source);
  step.outer_stride[3] = source.stride(axis);
  step.inner_stride[3] = program.extent(axis);
}

}  // namespace

Step bind_step(const ProgramWords& program, InstructionWord instruction, std::int64_t rows,
               std::int64_t cols, const KernelTable& kernels) {
  const Op op = op_of(instruction.opcode());
  const Domain domain = instruction.domain();
  const Family family = info(op).family;
  Step step;
  step.operands = static_cast<std::uint8_t>(operand_count(op));
  if (family == Family::kReduce || domain == Domain::kTile) {
    step.outer = rows;
    step.inner = cols;
  } else {
    step.inner = domain == Domain::kRow ? rows : domain == Domain::kCol ? cols : 1;
  }
  for (int k = 0; k <= step.operands; ++k) {
    const unsigned number = k == 0 ? instruction.dst() : instruction.operand(k - 1);
    const SlotWords slot = program.slot(static_cast<int>(number));
    step.slots[k] = static_cast<std::uint16_t>(number);
    step.element_bytes[k] = static_cast<std::uint8_t>(bytes(slot.type()));
    set_strides(step, k, strides(program, slot, cols),
                family == Family::kReduce ? Domain::kTile : domain);
  }
  const Kernel* const variants = kernels.kernels[instruction.opcode()];
  switch (family) {
    case Family::kElementwise:
      bind_elementwise(step, variants, kernels);
      break;
    case Family::kReduce:
      bind_reduction(step, variants, kernels, domain);
      break;
    case Family::kMemory:
      step.kernel = step.contiguous = variants[0];
      if (op == Op::gather) bind_gather(step, program, instruction);
      break;
  }
  return step;
}

}  // namespace dvm::cpu

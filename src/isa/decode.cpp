#include "isa/decode.h"

namespace dvm {
namespace {

Instruction decode_instruction(InstructionWord word) {
  Instruction instruction;
  instruction.op = op_of(word.opcode());
  instruction.type = type_of(word.opcode());
  instruction.domain = word.domain();
  instruction.broadcast = static_cast<std::uint8_t>(word.broadcast());
  instruction.dst = static_cast<std::uint16_t>(word.dst());
  for (int i = 0; i < kMaxOperands; ++i) {
    instruction.operands[i] = static_cast<std::uint16_t>(word.operand(i));
  }
  return instruction;
}

Slot decode_slot(SlotWords words, int axes) {
  Slot slot;
  slot.kind = words.kind();
  slot.type = words.type();
  slot.domain = words.domain();
  slot.index = static_cast<std::uint16_t>(words.index());
  slot.offset = words.offset();
  slot.part_stride = words.part_stride();
  for (int axis = 0; axis < axes; ++axis) slot.strides[axis] = words.stride(axis);
  return slot;
}

}  // namespace

Program decode(std::span<const Word> words) {
  const ProgramWords source(words.data());
  Program program;
  program.row_axis = source.row_axis();
  program.col_axis = source.col_axis();
  program.parts = source.parts();
  program.scratch_bytes = source.scratch_bytes();
  program.arguments = static_cast<std::uint16_t>(source.arguments());
  program.scalars = static_cast<std::uint16_t>(source.scalars());
  program.axes.reserve(static_cast<std::size_t>(source.axes()));
  for (int axis = 0; axis < source.axes(); ++axis) {
    program.axes.push_back({source.extent(axis), source.block(axis), source.role(axis)});
  }
  program.slots.reserve(static_cast<std::size_t>(source.slots()));
  for (int i = 0; i < source.slots(); ++i) {
    program.slots.push_back(decode_slot(source.slot(i), source.axes()));
  }
  program.sections.reserve(static_cast<std::size_t>(source.sections()));
  for (int i = 0; i < source.sections(); ++i) {
    const SectionWord word = source.section(i);
    Section section{word.kind(), {}};
    section.code.reserve(word.count());
    for (unsigned k = 0; k < word.count(); ++k) {
      section.code.push_back(
          decode_instruction(source.instruction(static_cast<int>(word.first() + k))));
    }
    program.sections.push_back(std::move(section));
  }
  return program;
}

}  // namespace dvm

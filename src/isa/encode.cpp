#include "isa/encode.h"

#include <stdexcept>

namespace dvm {
namespace {

Word encode_instruction(const Instruction& instruction) {
  Word word = opcode(instruction.op, instruction.type);
  word |= static_cast<Word>(instruction.domain) << 16;
  word |= static_cast<Word>(instruction.broadcast & 7u) << 18;
  word |= static_cast<Word>(instruction.dst & (kMaxSlots - 1)) << 24;
  for (int i = 0; i < kMaxOperands; ++i) {
    word |= static_cast<Word>(instruction.operands[i] & (kMaxSlots - 1))
            << (24 + kSlotBits * (i + 1));
  }
  return word;
}

Word axis_field(int axis) { return axis < 0 ? kNoAxis : static_cast<Word>(axis); }

void check(bool fits, const char* what) {
  if (!fits) throw std::length_error(std::string("[encode] too many ") + what);
}

}  // namespace

std::vector<Word> encode(const Program& program) {
  std::size_t instructions = 0;
  for (const Section& section : program.sections) instructions += section.code.size();
  const std::size_t axes = program.axes.size();
  check(axes <= kMaxAxes, "axes");
  check(program.slots.size() <= kMaxSlots, "slots");
  check(program.sections.size() < 256, "sections");
  check(instructions < 1u << 16, "instructions");

  std::vector<Word> words(kHeaderWords + kAxisWords * axes + program.sections.size() +
                          program.slots.size() * (kSlotWords + axes) + instructions);
  Word* out = words.data();
  *out++ = fingerprint();
  *out++ = axes | axis_field(program.row_axis) << 8 | axis_field(program.col_axis) << 16 |
           static_cast<Word>(program.sections.size()) << 24 |
           static_cast<Word>(program.slots.size()) << 32 | static_cast<Word>(instructions) << 48;
  *out++ = program.arguments | static_cast<Word>(program.scalars) << 16;
  *out++ = static_cast<Word>(program.parts);
  *out++ = static_cast<Word>(program.scratch_bytes);
  for (const Axis& axis : program.axes) {
    *out++ = static_cast<Word>(axis.extent);
    *out++ = static_cast<Word>(axis.block) | static_cast<Word>(axis.role) << 62;
  }
  Word first = 0;
  for (const Section& section : program.sections) {
    *out++ = static_cast<Word>(section.kind) | first << 16 |
             static_cast<Word>(section.code.size()) << 32;
    first += section.code.size();
  }
  for (const Slot& slot : program.slots) {
    *out++ = static_cast<Word>(slot.kind) | static_cast<Word>(slot.type) << 8 |
             static_cast<Word>(slot.domain) << 16 | static_cast<Word>(slot.index) << 32;
    *out++ = static_cast<Word>(slot.offset);
    *out++ = static_cast<Word>(slot.part_stride);
    for (std::size_t axis = 0; axis < axes; ++axis) {
      *out++ = static_cast<Word>(slot.strides[axis]);
    }
  }
  for (const Section& section : program.sections) {
    for (const Instruction& instruction : section.code) *out++ = encode_instruction(instruction);
  }
  return words;
}

}  // namespace dvm

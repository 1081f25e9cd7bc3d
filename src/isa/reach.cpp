// How much of its arguments a verified program may touch.
#include <algorithm>

#include "isa/verify.h"

namespace dvm {
namespace {

bool names(InstructionWord word, unsigned slot) {
  if (word.dst() == slot) return true;
  for (int k = 0; k < operand_count(op_of(word.opcode())); ++k) {
    if (word.operand(k) == slot) return true;
  }
  return false;
}

// With an empty reduced axis only the once-sections run, with an empty parallel axis nothing does.
bool is_used(const ProgramWords& program, unsigned slot) {
  bool reduced_empty = false;
  for (int axis = 0; axis < program.axes(); ++axis) {
    if (program.extent(axis) != 0 || program.role(axis) == Role::kIndexed) continue;
    if (program.role(axis) == Role::kParallel) return false;
    reduced_empty = true;
  }
  for (int i = 0; i < program.sections(); ++i) {
    const SectionWord section = program.section(i);
    if (section.kind() == SectionKind::kEach && reduced_empty) continue;
    for (unsigned k = section.first(); k < section.first() + section.count(); ++k) {
      if (names(program.instruction(static_cast<int>(k)), slot)) return true;
    }
  }
  return false;
}

}  // namespace

Reach reach(std::span<const Word> words, unsigned argument) {
  const ProgramWords program(words.data());
  Reach all;
  bool any = false;
  for (int i = 0; i < program.slots(); ++i) {
    const SlotWords slot = program.slot(i);
    if (slot.kind() != SlotKind::kArgument || slot.index() != argument) continue;
    if (!is_used(program, static_cast<unsigned>(i))) continue;
    Reach one{slot.offset(), slot.offset() + bytes(slot.type())};
    const auto add = [&one](std::int64_t count, std::int64_t stride) {
      const std::int64_t reached = std::max<std::int64_t>(count - 1, 0) * stride;
      (reached < 0 ? one.first : one.end) += reached;
    };
    add(program.parts(), slot.part_stride());
    for (int axis = 0; axis < program.axes(); ++axis) add(program.extent(axis), slot.stride(axis));
    all.first = any ? std::min(all.first, one.first) : one.first;
    all.end = any ? std::max(all.end, one.end) : one.end;
    any = true;
  }
  return all;
}

}  // namespace dvm

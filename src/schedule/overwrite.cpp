#include "schedule/overwrite.h"

#include <algorithm>
#include <cstddef>

namespace dvm {
namespace {

bool is_argument(const Slot& slot, int number) {
  return slot.kind == SlotKind::kArgument && slot.index == number;
}

// Whether both move in the same way, and so are at the same place whenever both are used.
bool moves_as(const Slot& a, const Slot& b) {
  return a.domain == b.domain && a.offset == b.offset && bytes(a.type) == bytes(b.type) &&
         std::ranges::equal(a.strides, b.strides);
}

}  // namespace

bool may_overwrite(const Program& program, int read, int written) {
  if (program.parts != 1) return false;
  const Slot* target = nullptr;
  for (const Slot& slot : program.slots) {
    if (!is_argument(slot, written)) continue;
    if (target != nullptr && !moves_as(*target, slot)) return false;
    target = &slot;
  }
  if (target == nullptr) return false;
  for (std::size_t k = 0; k < program.axes.size(); ++k) {
    const Axis& axis = program.axes[k];
    // Another pass over the axis would find the elements changed; along an indexed one any may be picked.
    if (axis.role == Role::kIndexed ? target->strides[k] != 0
                                    : axis.extent > 1 && target->strides[k] == 0)
      return false;
  }
  for (const Slot& slot : program.slots) {
    if (is_argument(slot, read) && !moves_as(*target, slot)) return false;
  }
  // A chunk of a section touches elements of its own, so that the order of instructions alone decides.
  bool begun = false;
  for (const Section& section : program.sections) {
    for (const Instruction& in : section.code) {
      const int count = info(in.op).accumulators > 1 ? kMaxOperands : info(in.op).arity;
      for (int i = 0; i < count; ++i) {
        const bool reads = is_argument(program.slots[in.operands[i]], read);
        if (reads && (begun || in.op == Op::gather)) return false;
      }
      if (is_argument(program.slots[in.dst], read)) return false;
      begun = begun || is_argument(program.slots[in.dst], written);
    }
  }
  return begun;
}

}  // namespace dvm

#include "schedule/slot_table.h"

#include <algorithm>

#include "schedule/terms.h"

namespace dvm {
namespace {

constexpr int kNone = -1;

void set_strides(Slot& slot, const Space& space, const Access& access) {
  for (std::size_t i = 0; i < space.axes.size(); ++i) slot.strides[i] = access.strides[i];
}

}  // namespace

SlotTable::SlotTable(const Kernel& kernel, const Space& space, const Tiling& tile,
                     const Parts& parts)
    : kernel_(kernel),
      space_(space),
      tile_(tile),
      parts_(parts),
      inputs_(kernel.inputs.size(), kNone) {
  slots_.reserve(kernel.terms.size() + kernel.outputs.size() + 8);
}

int SlotTable::input(int number, Type type, Domain domain) {
  if (inputs_[number] != kNone) return inputs_[number];
  Slot slot{.kind = SlotKind::kArgument,
            .type = type,
            .domain = domain,
            .index = static_cast<std::uint16_t>(number)};
  set_strides(slot, space_, space_.inputs[number]);
  return inputs_[number] = add(slot);
}

Domain SlotTable::output_domain(int number) const {
  return domain_of(mask_of(space_.outputs[number]), tile_);
}

int SlotTable::output(int number) {
  Slot slot{.kind = SlotKind::kArgument,
            .type = kernel_.outputs[number].type,
            .domain = output_domain(number),
            .index = static_cast<std::uint16_t>(kernel_.inputs.size() + number)};
  set_strides(slot, space_, space_.outputs[number]);
  if (parts_.count > 1) slot.part_stride = parts_.output_strides[number];
  return find_or_add(slot);
}

int SlotTable::position(std::size_t number) {
  Slot slot{.kind = SlotKind::kIndex,
            .type = Type::i64,
            .domain = domain_of(mask_of(space_.positions[number]), tile_)};
  set_strides(slot, space_, space_.positions[number]);
  return find_or_add(slot);
}

int SlotTable::scalar(Type type, int number) {
  return find_or_add({.kind = SlotKind::kScalar,
                      .type = type,
                      .domain = Domain::kOne,
                      .index = static_cast<std::uint16_t>(number)});
}

int SlotTable::constant(Type type, std::uint64_t bits) {
  return find_or_add({.kind = SlotKind::kConstant,
                      .type = type,
                      .domain = Domain::kOne,
                      .offset = static_cast<std::int64_t>(bits)});
}

int SlotTable::take(Type type, Domain domain) {
  const std::int64_t offset = registers_.take(register_bytes(type, domain));
  return find_or_add(
      {.kind = SlotKind::kRegister, .type = type, .domain = domain, .offset = offset});
}

void SlotTable::give_back(int slot) {
  registers_.give_back(slots_[slot].offset, register_bytes(slots_[slot].type, slots_[slot].domain));
}

int SlotTable::kept(Type type, Domain domain, AxisMask mask) {
  Slot slot{.kind = SlotKind::kKept, .type = type, .domain = domain};
  std::int64_t step = bytes(type);
  // The whole of every reduced axis, and of the parallel ones what is in the tile; columns innermost. It does not
  // move along an axis over which the value does not vary: its instruction writes one element there.
  const auto place = [&](int axis) {
    const bool reduced = space_.reduced >> axis & 1;
    if (!(mask >> axis & 1) || !(reduced || axis == tile_.row || axis == tile_.col)) return;
    slot.strides[axis] = step;
    step *= reduced ? space_.axes[axis].extent : axis == tile_.row ? tile_.rows : tile_.cols;
  };
  if (tile_.col >= 0) place(tile_.col);
  for (int axis = static_cast<int>(space_.axes.size()) - 1; axis >= 0; --axis) {
    if (axis != tile_.col) place(axis);
  }
  slot.offset = registers_.take(step);
  return add(slot);
}

int SlotTable::find_or_add(const Slot& slot) {
  const auto it = std::ranges::find(slots_, slot);
  return it != slots_.end() ? static_cast<int>(it - slots_.begin()) : add(slot);
}

int SlotTable::add(const Slot& slot) {
  slots_.push_back(slot);
  return static_cast<int>(slots_.size()) - 1;
}

std::int64_t SlotTable::register_bytes(Type type, Domain domain) const {
  const bool rows = domain == Domain::kTile || domain == Domain::kRow;
  const bool cols = domain == Domain::kTile || domain == Domain::kCol;
  return bytes(type) * (rows ? tile_.rows : 1) * (cols ? tile_.cols : 1);
}

}  // namespace dvm

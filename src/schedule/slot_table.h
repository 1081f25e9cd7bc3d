// The slots of a Program while it is written: each thing is declared once, and scratch memory is handed out again
// when a value has been used for the last time.
#pragma once

#include <cstdint>
#include <vector>

#include "schedule/registers.h"
#include "schedule/space.h"
#include "schedule/tile.h"

namespace dvm {

struct Parts {
  std::int64_t count = 1;
  std::vector<std::int64_t> output_strides;  // bytes from part to part, per output
};

class SlotTable {
 public:
  SlotTable(const Kernel& kernel, const Space& space, const Tiling& tile, const Parts& parts);

  const Slot& operator[](int slot) const { return slots_[slot]; }

  int input(int number, Type type, Domain domain);
  int output(int number);
  Domain output_domain(int number) const;
  /// Number `number` of Space::positions.
  int position(std::size_t number);
  int scalar(Type type, int number);
  int constant(Type type, std::uint64_t bits);

  /// A register to write to, and its return.
  int take(Type type, Domain domain);
  void give_back(int slot);
  bool is_register(int slot) const { return slots_[slot].kind == SlotKind::kRegister; }
  /// Scratch for a value that varies over `mask` and outlives its chunk.
  int kept(Type type, Domain domain, AxisMask mask);

  std::int64_t scratch_bytes() const { return registers_.total(); }
  std::vector<Slot> release() { return std::move(slots_); }

 private:
  int find_or_add(const Slot& slot);
  int add(const Slot& slot);
  std::int64_t register_bytes(Type type, Domain domain) const;

  const Kernel& kernel_;
  const Space& space_;
  const Tiling& tile_;
  const Parts& parts_;
  Registers registers_;
  std::vector<Slot> slots_;
  std::vector<int> inputs_;
};

}  // namespace dvm

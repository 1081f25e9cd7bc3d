// A Program: the bytecode of one kernel for one tuple of shapes, in decoded form. encode.h turns it into
// words, decode.h back; isa/README.md draws the words.
//
// A Program walks an iteration space. Its *axes*, outermost first, are parallel or reduced, and each is cut
// into blocks. Two of them may form the tile: the row axis (R elements at a time) and the column axis (C at a
// time); all others advance one by one. The machine runs, for every position of the parallel axes (a *block*),
// the sections in order: a `kOnce` section one time, a `kEach` section one time per *chunk*, that is per
// position of the reduced axes. With parts > 1 the chunks of each block are shared out among that many parts
// (part p runs chunks [p*q, (p+1)*q), q = ceil(chunks/parts)), every part being a block of its own.
//
// Instructions name *slots*. A slot is data with one stride per axis: a register, an argument in memory, a
// constant. A slot that does not move along the columns of the tile is a broadcast there; nothing is expanded.
// An *indexed* axis is not walked: it says how many elements a slot has that an instruction picks by number (gather),
// and the slot's stride along it how far they are apart.
#pragma once

#include <cstdint>
#include <vector>

#include "isa/op.h"

namespace dvm {

inline constexpr int kMaxAxes = 10;
inline constexpr int kMaxSlots = 1024;
inline constexpr int kMaxOperands = 3;

enum class Role : std::uint8_t { kParallel, kReduce, kIndexed };

struct Axis {
  std::int64_t extent = 1;
  std::int64_t block =
      1;  // elements of this axis in one tile; 1 unless it is the row or the column axis
  Role role = Role::kParallel;
  bool operator==(const Axis&) const = default;
};

/// The part of a tile that an instruction covers: all of it (R x C), one element per row (R), one per column
/// (C), or a single element. For a reduction it is the shape of the *result*.
enum class Domain : std::uint8_t { kTile, kRow, kCol, kOne };

enum class SlotKind : std::uint8_t {
  kRegister,  // scratch, contiguous in its domain; the pitch of a tile is the actual number of columns
  kKept,      // scratch with strides: a value that outlives its chunk (a whole row, for instance)
  kArgument,  // tensor argument `index`
  kScalar,    // scalar argument `index`, read at every launch
  kConstant,  // the bits in `offset`
  kIndex,     // no memory: the value `offset` + sum of position * stride, for iota and argmax
};

struct Slot {
  SlotKind kind = SlotKind::kRegister;
  Type type = Type::f32;
  Domain domain = Domain::kTile;  // registers: their shape. Others: what they vary over in a tile
  std::uint16_t index = 0;        // kArgument, kScalar
  std::int64_t offset = 0;        // bytes (registers, kept, arguments), bits, or first value
  std::int64_t strides[kMaxAxes] =
      {};                        // bytes per element step of each axis (kIndex: value per step)
  std::int64_t part_stride = 0;  // bytes per part
  bool operator==(const Slot&) const = default;
};

/// One instruction, `op_type domain dst, operands...`.
///
/// `broadcast` has bit i set when operand i does not vary along the inner dimension of `domain` (columns for
/// kTile and kCol, rows for kRow); an operand without the bit must have unit stride there, except for the
/// memory family (load, store, iota), which takes any stride. Operands: a, b, c. Reductions read `a`, and some `b`; they
/// update the accumulator `dst` in a kEach section and set it in a kOnce section. argmax and argmin have a second
/// accumulator, `b`, and an index slot `c`.
struct Instruction {
  Op op = Op::kCount;
  Type type = Type::f32;  // of the operands (for conversions: the source)
  Domain domain = Domain::kTile;
  std::uint8_t broadcast = 0;
  std::uint16_t dst = 0;
  std::uint16_t operands[kMaxOperands] = {};
  bool operator==(const Instruction&) const = default;
};

enum class SectionKind : std::uint8_t {
  kOnce,  // once per block
  kEach,  // once per chunk of a block
};

struct Section {
  SectionKind kind = SectionKind::kEach;
  std::vector<Instruction> code;
  bool operator==(const Section&) const = default;
};

struct Program {
  std::vector<Axis> axes;
  int row_axis = -1;  // index into axes, or -1: the tile has one row
  int col_axis = -1;
  std::int64_t parts = 1;
  std::int64_t scratch_bytes = 0;  // of registers and kept values, per thread
  std::uint16_t arguments = 0;
  std::uint16_t scalars = 0;
  std::vector<Slot> slots;
  std::vector<Section> sections;
  bool operator==(const Program&) const = default;
};

}  // namespace dvm

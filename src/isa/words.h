// The words of an encoded Program, read in place. isa/README.md draws them; encode.cpp writes them.
//
//   0                fingerprint of the tables
//   1                axes:8 | row axis:8 | column axis:8 | sections:8 | slots:16 | instructions:16   (low bits first)
//   2                arguments:16 | scalars:16 | 0:32
//   3, 4             parts, scratch bytes
//   axes             extent; block | role << 62
//   sections         kind:8 | 0:8 | first instruction:16 | instructions:16 | 0:16
//   slots            kind:8 | type:8 | domain:8 | 0:8 | index:16 | 0:16; offset; part stride; a stride per axis
//   instructions     opcode:16 | domain:2 | broadcast:3 | 0:3 | dst:10 | a:10 | b:10 | c:10
#pragma once

#include <cstdint>

#include "isa/opcode.h"
#include "isa/program.h"

namespace dvm {

using Word = std::uint64_t;

inline constexpr int kHeaderWords = 5;
inline constexpr int kAxisWords = 2;
inline constexpr int kSlotWords = 3;  // and a stride per axis
inline constexpr unsigned kNoAxis = 0xff;
inline constexpr int kSlotBits = 10;
static_assert(kMaxSlots == 1 << kSlotBits);

constexpr Word bits(Word word, int first, int count) {
  return (word >> first) & ((Word{1} << count) - 1);
}

/// An instruction as a word.
struct InstructionWord {
  Word word;
  Opcode opcode() const { return static_cast<Opcode>(word); }
  Domain domain() const { return static_cast<Domain>(bits(word, 16, 2)); }
  unsigned broadcast() const { return static_cast<unsigned>(bits(word, 18, 3)); }
  unsigned dst() const { return static_cast<unsigned>(bits(word, 24, kSlotBits)); }
  unsigned operand(int i) const {
    return static_cast<unsigned>(bits(word, 24 + kSlotBits * (i + 1), kSlotBits));
  }
};

struct SlotWords {
  const Word* words;
  SlotKind kind() const { return static_cast<SlotKind>(bits(words[0], 0, 8)); }
  Type type() const { return static_cast<Type>(bits(words[0], 8, 8)); }
  Domain domain() const { return static_cast<Domain>(bits(words[0], 16, 8)); }
  unsigned index() const { return static_cast<unsigned>(bits(words[0], 32, 16)); }
  std::int64_t offset() const { return static_cast<std::int64_t>(words[1]); }
  std::int64_t part_stride() const { return static_cast<std::int64_t>(words[2]); }
  std::int64_t stride(int axis) const {
    return static_cast<std::int64_t>(words[kSlotWords + axis]);
  }
};

struct SectionWord {
  Word word;
  SectionKind kind() const { return static_cast<SectionKind>(bits(word, 0, 8)); }
  unsigned first() const { return static_cast<unsigned>(bits(word, 16, 16)); }
  unsigned count() const { return static_cast<unsigned>(bits(word, 32, 16)); }
};

/// An encoded Program. Checks nothing: verify() has.
class ProgramWords {
 public:
  explicit ProgramWords(const Word* words)
      : words_(words),
        axes_(static_cast<int>(bits(words[1], 0, 8))),
        sections_(static_cast<int>(bits(words[1], 24, 8))),
        slots_(static_cast<int>(bits(words[1], 32, 16))),
        instructions_(static_cast<int>(bits(words[1], 48, 16))) {}

  Word fingerprint() const { return words_[0]; }
  int axes() const { return axes_; }
  int sections() const { return sections_; }
  int slots() const { return slots_; }
  int instructions() const { return instructions_; }
  int row_axis() const { return axis_or_none(8); }
  int col_axis() const { return axis_or_none(16); }
  unsigned arguments() const { return static_cast<unsigned>(bits(words_[2], 0, 16)); }
  unsigned scalars() const { return static_cast<unsigned>(bits(words_[2], 16, 16)); }
  std::int64_t parts() const { return static_cast<std::int64_t>(words_[3]); }
  std::int64_t scratch_bytes() const { return static_cast<std::int64_t>(words_[4]); }

  std::int64_t extent(int axis) const {
    return static_cast<std::int64_t>(words_[kHeaderWords + kAxisWords * axis]);
  }
  std::int64_t block(int axis) const {
    return static_cast<std::int64_t>(bits(words_[kHeaderWords + kAxisWords * axis + 1], 0, 62));
  }
  Role role(int axis) const {
    return static_cast<Role>(words_[kHeaderWords + kAxisWords * axis + 1] >> 62);
  }
  SectionWord section(int i) const { return {words_[sections_at() + i]}; }
  SlotWords slot(int i) const { return {words_ + slots_at() + i * (kSlotWords + axes_)}; }
  InstructionWord instruction(int i) const { return {words_[instructions_at() + i]}; }

  /// How many words there are in all.
  std::size_t size() const { return static_cast<std::size_t>(instructions_at() + instructions_); }

 private:
  int axis_or_none(int first) const {
    const unsigned axis = static_cast<unsigned>(bits(words_[1], first, 8));
    return axis == kNoAxis ? -1 : static_cast<int>(axis);
  }
  int sections_at() const { return kHeaderWords + kAxisWords * axes_; }
  int slots_at() const { return sections_at() + sections_; }
  int instructions_at() const { return slots_at() + slots_ * (kSlotWords + axes_); }

  const Word* words_;
  int axes_, sections_, slots_, instructions_;
};

/// The one indexed axis along which `slot` moves, -1 if there is none or more than one.
inline int indexed_axis(const ProgramWords& program, SlotWords slot) {
  int found = -1;
  for (int axis = 0; axis < program.axes(); ++axis) {
    if (program.role(axis) != Role::kIndexed || slot.stride(axis) == 0) continue;
    if (found >= 0) return -1;
    found = axis;
  }
  return found;
}

}  // namespace dvm

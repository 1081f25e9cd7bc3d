// Opcodes: an Op and a Type packed into 16 bits, and what the tables say about an opcode's operands. Everything here is
// derived; a new row needs no change.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "isa/op.h"

namespace dvm {

using Opcode = std::uint16_t;

inline constexpr int kTypeBits = 4;
inline constexpr std::size_t kOpcodeCount = kOpCount << kTypeBits;
static_assert(kOpcodeCount <= 1u << 16, "an opcode has 16 bits");

constexpr Opcode opcode(Op op, Type type) {
  return static_cast<Opcode>((static_cast<unsigned>(op) << kTypeBits) |
                             static_cast<unsigned>(type));
}
constexpr Op op_of(Opcode code) { return static_cast<Op>(code >> kTypeBits); }
constexpr Type type_of(Opcode code) { return static_cast<Type>(code & ((1u << kTypeBits) - 1)); }

/// True when a row of the tables defines the opcode.
constexpr bool is_defined(Opcode code) {
  return (code >> kTypeBits) < kOpCount && contains(info(op_of(code)).types, type_of(code));
}

/// How many operand slots an instruction names besides its destination. argmax and argmin name their second
/// accumulator and an index slot after what they reduce.
constexpr int operand_count(Op op) {
  const OpInfo& row = info(op);
  return row.family == Family::kReduce && row.accumulators == 2 ? 3 : row.arity;
}

/// The type of the slot that is operand `number`: the index slot of argmax and argmin, and the indices of gather, are
/// always i64.
constexpr Type operand_slot_type(Op op, Type type, int number) {
  if (op == Op::gather && number == 1) return Type::i64;
  if (info(op).family == Family::kReduce && number == 2) return Type::i64;
  return operand_type(op, type, number);
}

/// `add_f32`.
std::string opcode_name(Op op, Type type);
/// The inverse of opcode_name.
std::optional<Opcode> find_opcode(std::string_view name);

/// A hash of every row of every table. Words made under other tables are refused by it.
std::uint64_t fingerprint();

}  // namespace dvm

// Instructions by name, derived from the tables in isa/. An `Op` is a row; together with a type it is an
// opcode (`add` with `f32` is `add_f32`).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "isa/type.h"

namespace dvm {

/// Sets of types, one bit per `Type`, in which the tables say where an instruction is defined.
using TypeSet = std::uint32_t;
constexpr TypeSet set_of(Type type) { return 1u << static_cast<unsigned>(type); }
constexpr bool contains(TypeSet set, Type type) { return (set & set_of(type)) != 0; }

namespace types {
inline constexpr TypeSet kF32 = set_of(Type::f32);
inline constexpr TypeSet kI32 = set_of(Type::i32);
inline constexpr TypeSet kI64 = set_of(Type::i64);
inline constexpr TypeSet kFloats = set_of(Type::f32) | set_of(Type::f64);
inline constexpr TypeSet kIntegers = set_of(Type::i32) | set_of(Type::i64);
inline constexpr TypeSet kBools = set_of(Type::bool_);
inline constexpr TypeSet kNumbers = kFloats | kIntegers;
inline constexpr TypeSet kBits = kIntegers | kBools;
inline constexpr TypeSet kCompute = kNumbers | kBools;
inline constexpr TypeSet kAny = (1u << kTypeCount) - 1;
}  // namespace types

/// What passes may ask about an instruction, one bit each.
enum Property : std::uint32_t {
  kPlain = 0,
  kCommutative = 1 << 0,
  kMonotone = 1 << 1,   // non-decreasing in every operand
  kWraps = 1 << 2,      // an integer result may leave the range of a narrower storage type
  kCostly = 1 << 3,     // dearer than a re-read from memory: keep the result and do not recompute
  kCondition = 1 << 4,  // operand a is a bool, whatever the type
};

enum class Family : std::uint8_t { kElementwise, kReduce, kMemory };

/// The type of an instruction's result.
enum class Result : std::uint8_t {
  kSame,   // that of its operands
  kBool,   // bool
  kIndex,  // i64
  kF32,
  kF64,
  kI32,
  kI64,
  kF16,
  kBF16,
  kI8,
  kU8,
  kI16,  // conversions
};

enum class Op : std::uint16_t {
#define ELEMENTWISE(name, arity, set, result, properties, reference, doc) name,
#include "isa/elementwise.def"
#define REDUCE(name, set, result, accumulators, arity, reference, doc) name,
#include "isa/reduce.def"
#define MEMORY(name, set, result, arity, doc) name,
#include "isa/memory.def"
  kCount,
};
inline constexpr std::size_t kOpCount = static_cast<std::size_t>(Op::kCount);

struct OpInfo {
  std::string_view name;
  Family family;
  std::uint8_t arity;         // operands read, without the destination
  std::uint8_t accumulators;  // reductions: accumulators updated in place
  TypeSet types;
  Result result;
  std::uint32_t properties;
  std::string_view reference;  // a NumPy expression over a, b, c
  std::string_view doc;
};

inline constexpr OpInfo kOps[] = {
#define ELEMENTWISE(name, arity, set, result, properties, reference, doc) \
  {#name, Family::kElementwise, arity, 0, types::set, Result::result, properties, reference, doc},
#include "isa/elementwise.def"
#define REDUCE(name, set, result, accumulators, arity, reference, doc) \
  {#name, Family::kReduce, arity, accumulators, types::set, Result::result, kPlain, reference, doc},
#include "isa/reduce.def"
#define MEMORY(name, set, result, arity, doc) \
  {#name, Family::kMemory, arity, 0, types::set, Result::result, kPlain, "", doc},
#include "isa/memory.def"
};
static_assert(sizeof(kOps) / sizeof(kOps[0]) == kOpCount);

/// Two instructions and the one that does both, from isa/pairs.def.
struct Pair {
  Op inner, outer, both;
};
inline constexpr Pair kPairs[] = {
#define PAIR(inner, outer, arity, set, properties) {Op::inner, Op::outer, Op::inner##_##outer},
#include "isa/pairs.def"
};

constexpr const OpInfo& info(Op op) { return kOps[static_cast<std::size_t>(op)]; }

/// The type of operand number `operand` of `op` with the opcode's type `type`.
constexpr Type operand_type(Op op, Type type, int operand) {
  return operand == 0 && (info(op).properties & kCondition) != 0 ? Type::bool_ : type;
}

constexpr Type result_type(Op op, Type operand) {
  switch (info(op).result) {
    case Result::kSame:
      return operand;
    case Result::kBool:
      return Type::bool_;
    case Result::kIndex:
      return Type::i64;
    case Result::kF32:
      return Type::f32;
    case Result::kF64:
      return Type::f64;
    case Result::kI32:
      return Type::i32;
    case Result::kI64:
      return Type::i64;
    case Result::kF16:
      return Type::f16;
    case Result::kBF16:
      return Type::bf16;
    case Result::kI8:
      return Type::i8;
    case Result::kU8:
      return Type::u8;
    case Result::kI16:
      return Type::i16;
  }
  return operand;
}

}  // namespace dvm

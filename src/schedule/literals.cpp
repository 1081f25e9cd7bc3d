#include "schedule/literals.h"

#include <bit>
#include <limits>

namespace dvm {
namespace {

template <class T>
std::uint64_t bits_of(T value) {
  if constexpr (sizeof(T) == 8)
    return std::bit_cast<std::uint64_t>(value);
  else
    return std::bit_cast<std::uint32_t>(value);
}

template <class T>
std::uint64_t extreme_bits(bool lowest) {
  using Limits = std::numeric_limits<T>;
  if constexpr (Limits::has_infinity)
    return bits_of<T>(lowest ? -Limits::infinity() : Limits::infinity());
  return bits_of<T>(lowest ? Limits::lowest() : Limits::max());
}

std::uint64_t extreme(Type type, bool lowest) {
  switch (type) {
    case Type::f32:
      return extreme_bits<float>(lowest);
    case Type::f64:
      return extreme_bits<double>(lowest);
    case Type::i32:
      return extreme_bits<std::int32_t>(lowest);
    case Type::i64:
      return extreme_bits<std::int64_t>(lowest);
    default:
      return lowest ? 0 : 1;
  }
}

}  // namespace

std::uint64_t number_bits(std::int64_t value, Type type) {
  switch (type) {
    case Type::f32:
      return bits_of(static_cast<float>(value));
    case Type::f64:
      return bits_of(static_cast<double>(value));
    case Type::i32:
      return static_cast<std::uint32_t>(value);
    default:
      return static_cast<std::uint64_t>(value);
  }
}

std::uint64_t identity_bits(Op op, Type type) {
  switch (op) {
    case Op::prod:
      return number_bits(1, type);
    case Op::all:
      return 1;
    case Op::max:
    case Op::argmax:
      return extreme(type, true);
    case Op::min:
    case Op::argmin:
      return extreme(type, false);
    default:
      return 0;
  }
}

Op conversion_to(Type type) {
  switch (type) {
    case Type::f32:
      return Op::to_f32;
    case Type::f64:
      return Op::to_f64;
    case Type::f16:
      return Op::to_f16;
    case Type::bf16:
      return Op::to_bf16;
    case Type::i8:
      return Op::to_i8;
    case Type::u8:
      return Op::to_u8;
    case Type::i16:
      return Op::to_i16;
    case Type::i32:
      return Op::to_i32;
    case Type::i64:
      return Op::to_i64;
    case Type::bool_:
      return Op::to_bool;
  }
  return Op::copy;
}

}  // namespace dvm

// Conversions between all storage types, and back into the range or precision of a narrow type.
#pragma once

#include "semantics/half.h"

namespace dvm::semantics {

/// A storage value as the C++ number that conversions start from.
template <class S>
DVM_HD auto number(S a) {
  if constexpr (std::is_same_v<S, float16> || std::is_same_v<S, bfloat16>)
    return widen(a);
  else
    return a;
}

/// A float without its fraction as an integer; the smallest one for nan and for what does not fit (C++ leaves that
/// undefined, x86 and PyTorch on it do this).
template <class I, class T>
DVM_HD I truncate(T a) {
  constexpr T kLowest = static_cast<T>(std::numeric_limits<I>::min());
  const bool fits = (a >= kLowest) & (a < -kLowest);
  return static_cast<I>(fits ? a : kLowest);
}

/// An integer from any storage value. Narrow ones keep the low bits of an i32.
template <class I, class S>
DVM_HD I integer(S stored) {
  const auto a = number(stored);
  if constexpr (!is_float<std::remove_const_t<decltype(a)>>)
    return static_cast<I>(a);
  else if constexpr (sizeof(I) == 8)
    return truncate<std::int64_t>(a);
  else
    return static_cast<I>(truncate<std::int32_t>(a));
}

struct to_f32 {
  template <class S>
  DVM_HD float operator()(S a) const {
    return static_cast<float>(number(a));
  }
};
struct to_f64 {
  template <class S>
  DVM_HD double operator()(S a) const {
    return static_cast<double>(number(a));
  }
};
struct to_f16 {
  template <class S>
  DVM_HD float16 operator()(S a) const {
    return narrow_float16(to_f32{}(a));
  }
};
struct to_bf16 {
  template <class S>
  DVM_HD bfloat16 operator()(S a) const {
    return narrow_bfloat16(to_f32{}(a));
  }
};
struct to_i8 {
  template <class S>
  DVM_HD std::int8_t operator()(S a) const {
    return integer<std::int8_t>(a);
  }
};
struct to_u8 {
  template <class S>
  DVM_HD std::uint8_t operator()(S a) const {
    return integer<std::uint8_t>(a);
  }
};
struct to_i16 {
  template <class S>
  DVM_HD std::int16_t operator()(S a) const {
    return integer<std::int16_t>(a);
  }
};
struct to_i32 {
  template <class S>
  DVM_HD std::int32_t operator()(S a) const {
    return integer<std::int32_t>(a);
  }
};
struct to_i64 {
  template <class S>
  DVM_HD std::int64_t operator()(S a) const {
    return integer<std::int64_t>(a);
  }
};
struct to_bool {
  template <class S>
  DVM_HD Bool operator()(S a) const {
    const auto value = number(a);
    return value != decltype(value)(0);
  }
};

struct wrap_i8 {
  DVM_HD std::int32_t operator()(std::int32_t a) const { return static_cast<std::int8_t>(a); }
};
struct wrap_u8 {
  DVM_HD std::int32_t operator()(std::int32_t a) const { return static_cast<std::uint8_t>(a); }
};
struct wrap_i16 {
  DVM_HD std::int32_t operator()(std::int32_t a) const { return static_cast<std::int16_t>(a); }
};
struct round_f16 {
  DVM_HD float operator()(float a) const { return widen(narrow_float16(a)); }
};
struct round_bf16 {
  DVM_HD float operator()(float a) const { return widen(narrow_bfloat16(a)); }
};

}  // namespace dvm::semantics

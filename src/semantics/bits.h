// Bitwise logic and shifts.
#pragma once

#include "semantics/scalar.h"

namespace dvm::semantics {

struct bitwise_and {
  template <class T>
  DVM_HD T operator()(T a, T b) const {
    return static_cast<T>(a & b);
  }
};
struct bitwise_or {
  template <class T>
  DVM_HD T operator()(T a, T b) const {
    return static_cast<T>(a | b);
  }
};
struct bitwise_xor {
  template <class T>
  DVM_HD T operator()(T a, T b) const {
    return static_cast<T>(a ^ b);
  }
};
struct bitwise_not {
  template <class T>
  DVM_HD T operator()(T a) const {
    if constexpr (std::is_same_v<T, Bool>)
      return static_cast<T>(a ^ 1);
    else
      return ~a;
  }
};

// A shift by a negative number or by the width and more is undefined in C++. As in PyTorch it moves every bit out.
struct shift_left {
  template <class T>
  DVM_HD T operator()(T a, T b) const {
    using U = Wrapping<T>;
    constexpr U kWidth = sizeof(T) * 8;
    const U count = static_cast<U>(b);
    const T shifted = static_cast<T>(static_cast<U>(a) << (count & (kWidth - 1)));
    return count < kWidth ? shifted : T(0);
  }
};
struct shift_right {
  template <class T>
  DVM_HD T operator()(T a, T b) const {
    using U = Wrapping<T>;
    constexpr U kLast = sizeof(T) * 8 - 1;
    const U count = static_cast<U>(b);
    return a >> (count < kLast ? count : kLast);
  }
};

}  // namespace dvm::semantics

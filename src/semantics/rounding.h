// Rounding to whole numbers. Integers are whole already.
#pragma once

#include "semantics/scalar.h"

namespace dvm::semantics {

// Before SSE4.1 there is no instruction for these, and the library's functions do not vectorise. Floats from 2**23
// (doubles from 2**52) on are whole; below, adding and subtracting that number rounds to the nearest.
#if defined(__SSE4_1__) || defined(__CUDA_ARCH__) || !defined(__SSE2__)
inline constexpr bool kRoundsInHardware = true;
#else
inline constexpr bool kRoundsInHardware = false;
#endif

template <class T>
DVM_HD T round_by_shift(T a) {
  constexpr T kWhole = sizeof(T) == 4 ? T(8388608.0) : T(4503599627370496.0);
  const T size = magnitude(a);
  const T rounded = with_sign((size + kWhole) - kWhole, a);
  return size < kWhole ? rounded : a;
}

struct round {
  template <class T>
  DVM_HD T operator()(T a) const {
    if constexpr (!is_float<T>)
      return a;
    else if constexpr (kRoundsInHardware)
      return std::rint(a);
    else
      return round_by_shift(a);
  }
};

struct floor {
  template <class T>
  DVM_HD T operator()(T a) const {
    if constexpr (!is_float<T>) {
      return a;
    } else if constexpr (kRoundsInHardware) {
      return std::floor(a);
    } else {
      const T near = round_by_shift(a);
      return with_sign(near - (near > a ? T(1) : T(0)), a);
    }
  }
};

struct ceil {
  template <class T>
  DVM_HD T operator()(T a) const {
    if constexpr (!is_float<T>) {
      return a;
    } else if constexpr (kRoundsInHardware) {
      return std::ceil(a);
    } else {
      const T near = round_by_shift(a);
      return with_sign(near + (near < a ? T(1) : T(0)), a);
    }
  }
};

struct trunc {
  template <class T>
  DVM_HD T operator()(T a) const {
    if constexpr (!is_float<T>) {
      return a;
    } else if constexpr (kRoundsInHardware) {
      return std::trunc(a);
    } else {
      const T size = magnitude(a);
      const T near = round_by_shift(size);
      return with_sign(near - (near > size ? T(1) : T(0)), a);
    }
  }
};

}  // namespace dvm::semantics

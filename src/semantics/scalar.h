// What every functor is written with: the host-and-device marker, bit casts, multiply-add and polynomials.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#if defined(__CUDACC__)
#define DVM_HD __host__ __device__ __forceinline__
#else
#define DVM_HD __attribute__((always_inline)) inline
#endif

namespace dvm::semantics {

template <class T>
inline constexpr bool is_float = std::is_floating_point_v<T>;

/// A bool as it lies in registers and memory.
using Bool = std::uint8_t;

template <class T>
inline constexpr T kInfinity = std::numeric_limits<T>::infinity();
template <class T>
inline constexpr T kNan = std::numeric_limits<T>::quiet_NaN();

// Signed overflow is undefined in C++ and wraps here, so integers compute as unsigned numbers.
template <class T>
using Wrapping = std::make_unsigned_t<T>;

DVM_HD constexpr std::int32_t bits(float a) { return std::bit_cast<std::int32_t>(a); }
DVM_HD constexpr std::int64_t bits(double a) { return std::bit_cast<std::int64_t>(a); }
DVM_HD float from_bits(std::int32_t a) { return std::bit_cast<float>(a); }
DVM_HD double from_bits(std::int64_t a) { return std::bit_cast<double>(a); }

/// a * b + c, rounded once where the machine has an instruction for it. Without one std::fma would be a call
/// that takes longer than the whole functor.
template <class T>
DVM_HD T multiply_accumulate(T a, T b, T c) {
#if defined(__FMA__) || defined(__CUDA_ARCH__)
  return std::fma(a, b, c);
#else
  return a * b + c;
#endif
}

/// The polynomial with the coefficients c0, c1, ... at x.
template <class T>
DVM_HD T polynomial(T, T c0) {
  return c0;
}
template <class T, class... Rest>
DVM_HD T polynomial(T x, T c0, Rest... rest) {
  return multiply_accumulate(polynomial(x, static_cast<T>(rest)...), x, c0);
}

template <class T>
DVM_HD T magnitude(T a) {
  return std::fabs(a);
}
template <class T>
DVM_HD T with_sign(T magnitude, T sign) {
  return std::copysign(magnitude, sign);
}

// Rounding a product to the nearest whole number n: adding 1.5 * 2**23 (in double precision 1.5 * 2**52) leaves a sum
// no room for a fraction, and its low bits are n as an integer. A small bias added along makes the low bits
// n + bias, ready to be moved into the exponent of a float. For |n| < 2**22 (2**51); nan gives any bits.
struct Nearest {
  float value;         // n
  std::uint32_t bits;  // n + bias in its low 22 bits
};
template <int bias = 0>
DVM_HD Nearest nearest(float a, float b) {
  constexpr float kShift = 12582912.0f + bias;
  const float shifted = multiply_accumulate(a, b, kShift);
  return {shifted - kShift, std::bit_cast<std::uint32_t>(shifted)};
}
struct NearestWide {
  double value;
  std::uint64_t bits;
};
template <int bias = 0>
DVM_HD NearestWide nearest(double a, double b) {
  constexpr double kShift = 6755399441055744.0 + bias;
  const double shifted = multiply_accumulate(a, b, kShift);
  return {shifted - kShift, std::bit_cast<std::uint64_t>(shifted)};
}

}  // namespace dvm::semantics

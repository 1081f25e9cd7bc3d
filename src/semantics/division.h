// Quotients and remainders. Integer division never traps: by 0 it gives 0, and the smallest number divided by -1
// wraps to itself. Floats follow PyTorch.
#pragma once

#include "semantics/arithmetic.h"
#include "semantics/rounding.h"

namespace dvm::semantics {

struct div {
  template <class T>
  DVM_HD T operator()(T a, T b) const {
    return a / b;
  }
};

/// The integer quotient rounded toward 0, for divisors other than 0.
DVM_HD std::int32_t quotient(std::int32_t a, std::int32_t b) {
  // The double quotient of 32-bit integers never rounds up to a whole number, and vectors divide doubles only.
  const double exact = static_cast<double>(a) / static_cast<double>(b);
  const bool fits = exact < 2147483648.0;
  return fits ? static_cast<std::int32_t>(fits ? exact : 0.0) : a;
}
DVM_HD std::int64_t quotient(std::int64_t a, std::int64_t b) { return b == -1 ? neg{}(a) : a / b; }

/// The exact remainder of a / b with the sign of a, for |a| < 2**26 * |b|: neither the whole quotient nor its product
/// with b rounds in double precision.
DVM_HD float short_remainder(float a, float b) {
  const double whole = trunc{}(static_cast<double>(a) / static_cast<double>(b));
  const float rest = static_cast<float>(static_cast<double>(a) - whole * static_cast<double>(b));
  const bool all = (magnitude(b) == kInfinity<float>)&(magnitude(a) < kInfinity<float>);
  return with_sign(all ? a : rest, a);
}

struct fmod {
  DVM_HD float operator()(float a, float b) const { return short_remainder(a, b); }
  DVM_HD double operator()(double a, double b) const { return std::fmod(a, b); }
  template <class T>
    requires(!is_float<T>)
  DVM_HD T operator()(T a, T b) const {
    const T divisor = b == 0 ? T(1) : b;
    return sub{}(a, mul{}(quotient(a, divisor), divisor)) & (b == 0 ? T(0) : T(-1));
  }

  template <class T>
  DVM_HD static bool fast(T a, T b) {
    if constexpr (std::is_same_v<T, float>)
      return !(magnitude(a) >= 67108864.0f * magnitude(b));
    else
      return true;
  }
  template <class T>
  static T slow(T a, T b) {
    if constexpr (std::is_same_v<T, float>)
      return fast(a, b) ? fmod{}(a, b) : std::fmod(a, b);
    else
      return fmod{}(a, b);
  }
};

struct remainder {
  template <class T>
  DVM_HD T operator()(T a, T b) const {
    return toward_divisor(fmod{}(a, b), b);
  }

  template <class T>
  DVM_HD static bool fast(T a, T b) {
    return fmod::fast(a, b);
  }
  template <class T>
  static T slow(T a, T b) {
    return toward_divisor(fmod::slow(a, b), b);
  }

 private:
  template <class T>
  DVM_HD static T toward_divisor(T rest, T b) {
    const bool other_side = (rest != T(0)) & ((b < T(0)) != (rest < T(0)));
    return other_side & (b != T(0)) ? rest + b : rest;
  }
};

struct floor_div {
  DVM_HD float operator()(float a, float b) const {
    const double exact = static_cast<double>(a) / static_cast<double>(b);
    const double down = floor{}(exact);
    const bool apart = ((a < 0.0f) & (b > 0.0f)) | ((a > 0.0f) & (b < 0.0f));
    const double by_infinity = apart ? -1.0 : exact;
    const double finite = magnitude(b) == kInfinity<float> ? by_infinity : down;
    const double result = magnitude(a) == kInfinity<float> ? kNan<double> : finite;
    return static_cast<float>(b == 0.0f ? exact : result);
  }
  DVM_HD double operator()(double a, double b) const {
    if (b == 0.0) return a / b;
    const double rest = std::fmod(a, b);
    const double apart = (rest != 0.0) & ((b < 0.0) != (rest < 0.0)) ? 1.0 : 0.0;
    const double whole = (a - rest) / b - apart;
    const double down = std::floor(whole);
    const double nearest = down + (whole - down > 0.5 ? 1.0 : 0.0);
    return whole != 0.0 ? nearest : with_sign(0.0, a / b);
  }
  template <class T>
    requires(!is_float<T>)
  DVM_HD T operator()(T a, T b) const {
    const T divisor = b == 0 ? T(1) : b;
    const T whole = quotient(a, divisor);
    const T rest = sub{}(a, mul{}(whole, divisor));
    const bool apart = (rest != 0) & ((rest < 0) != (divisor < 0));
    return b == 0 ? T(0) : sub{}(whole, apart ? T(1) : T(0));
  }
};

struct trunc_div {
  template <class T>
  DVM_HD T operator()(T a, T b) const {
    if constexpr (is_float<T>)
      return trunc{}(a / b);
    else
      return b == 0 ? T(0) : quotient(a, b == 0 ? T(1) : b);
  }
};

}  // namespace dvm::semantics

// Exponential functions. In single precision e**x = 2**n * e**r with n = round(x / ln 2) and |r| <= ln 2 / 2, and a
// minimax polynomial gives e**r; docs/internals/numerics.md lists the errors.
#pragma once

#include "semantics/scalar.h"

namespace dvm::semantics {

/// A number m * 2**n that may be too large or too small for a float until it is scaled.
struct Scaled {
  float mantissa;
  std::uint32_t exponent;  // n + 254 in its low 22 bits
};

/// value * 2**n for -278 <= n <= 254, in two steps so that only the second one can round or overflow.
DVM_HD float scale(float value, std::uint32_t exponent) {
  const std::uint32_t half = exponent >> 1;
  const float first = std::bit_cast<float>(half << 23);
  const float second = std::bit_cast<float>((exponent - half) << 23);
  return value * first * second;
}

/// The same in double precision; the low 51 bits of `exponent` are n + 2046.
DVM_HD double scale(double value, std::uint64_t exponent) {
  const std::uint64_t half = exponent >> 1;
  const double first = std::bit_cast<double>(half << 52);
  const double second = std::bit_cast<double>((exponent - half) << 52);
  return value * first * second;
}

inline constexpr float kLog2E = 1.44269504088896f;
// ln 2 in two parts; n * kLn2High is exact for |n| < 2**15.
inline constexpr float kLn2High = 0.693359375f;
inline constexpr float kLn2Low = -2.12194440054690e-4f;

/// The smaller of |x| and `high`; nan gives `high`.
DVM_HD float limited_magnitude(float x, float high) {
  const std::int32_t size = bits(x) & 0x7fffffff;
  return from_bits(size < bits(high) ? size : bits(high));
}

DVM_HD float exp_polynomial(float r) {
  return polynomial(r, 1.0f, 1.0f, 4.9999994e-01f, 1.6666517e-01f, 4.1668136e-02f, 8.369042e-03f,
                    1.3826411e-03f);
}

/// e**r in double precision.
DVM_HD double exp_polynomial(double r) {
  return polynomial(r, 1.0, 1.0, 0.5000000000000011, 0.16666666666666438, 0.0416666666665255,
                    0.00833333333346847, 0.0013888888945082023, 0.00019841269593780976,
                    2.4801491316464565e-05, 2.755747892251636e-06, 2.7630986936611307e-07,
                    2.5043344279240315e-08);
}

/// e**(x + low) for |x| < 170, where low is no more than the rounding error of x.
DVM_HD Scaled exp_scaled(float x, float low) {
  const Nearest n = nearest<254>(x, kLog2E);
  const float high = multiply_accumulate(n.value, -kLn2High, x);
  const float r = multiply_accumulate(n.value, -kLn2Low, high);
  return {exp_polynomial(r + low), n.bits};
}
DVM_HD Scaled exp_scaled(float x) { return exp_scaled(x, -0.0f); }

/// e**x for x in [-700, 700].
DVM_HD double exp_normal(double x) {
  const NearestWide n = nearest<1023>(x, 1.4426950408889634);
  const double high = multiply_accumulate(n.value, -0.69314718036912382, x);
  const double r = multiply_accumulate(n.value, -1.9082149292705877e-10, high);
  return exp_polynomial(r) * std::bit_cast<double>(n.bits << 52);
}

/// e**x for x in [-87, 88], where neither the result nor 2**n leaves the normal numbers.
DVM_HD float exp_normal(float x) {
  const Nearest n = nearest<127>(x, kLog2E);
  const float high = multiply_accumulate(n.value, -kLn2High, x);
  const float r = multiply_accumulate(n.value, -kLn2Low, high);
  return exp_polynomial(r) * std::bit_cast<float>(n.bits << 23);
}

struct exp {
  DVM_HD float operator()(float a) const {
    // Above 89 only n is limited: e**r is then so large that the result is inf, and nan stays. The limit is on bits,
    // since compilers turn a comparison of integers into one instruction and one of floats into two or three.
    const std::int32_t word = bits(a);
    const float x = from_bits(word < bits(89.0f) ? word : bits(89.0f));
    const Nearest n = nearest<254>(x, kLog2E);
    const float high = multiply_accumulate(n.value, -kLn2High, a);
    const float r = multiply_accumulate(n.value, -kLn2Low, high);
    const float result = scale(exp_polynomial(r), n.bits);
    return a < -104.0f ? 0.0f : result;
  }
  DVM_HD double operator()(double a) const {
    const double x = a > 710.0 ? 710.0 : a;
    const NearestWide n = nearest<2046>(x, 1.4426950408889634);
    const double high = multiply_accumulate(n.value, -0.69314718036912382, a);
    const double r = multiply_accumulate(n.value, -1.9082149292705877e-10, high);
    const double result = scale(exp_polynomial(r), n.bits);
    return a < -746.0 ? 0.0 : result;
  }
};

struct exp_sub {
  template <class T>
  DVM_HD T operator()(T a, T b) const {
    return exp{}(a - b);
  }
};

/// 2**r for |r| <= 1/2.
DVM_HD float exp2_polynomial(float r) {
  return polynomial(r, 1.0f, 6.9314724e-01f, 2.4022655e-01f, 5.5502728e-02f, 9.617065e-03f,
                    1.3417695e-03f, 1.582494e-04f);
}

struct exp2 {
  DVM_HD float operator()(float a) const {
    const float raised = a < -151.0f ? -151.0f : a;
    const float x = raised > 129.0f ? 129.0f : raised;
    const Nearest n = nearest<254>(x, 1.0f);
    return scale(exp2_polynomial(x - n.value), n.bits);
  }
  DVM_HD double operator()(double a) const { return std::exp2(a); }
};

struct expm1 {
  DVM_HD float operator()(float a) const {
    const float raised = a < -20.0f ? -20.0f : a;
    const float x = raised > 89.0f ? 89.0f : raised;
    const Nearest n = nearest<126>(x, kLog2E);
    const float high = multiply_accumulate(n.value, -kLn2High, x);
    const float r = multiply_accumulate(n.value, -kLn2Low, high);
    const float q = polynomial(r, 5.0e-01f, 1.6666666e-01f, 4.1666467e-02f, 8.333644e-03f,
                               1.3935033e-03f, 1.966229e-04f);
    const float p = multiply_accumulate(q, r * r, r);  // e**r - 1
    // 2**n * (p + 1) - 1, through 2**(n - 1) because 2**128 is no float.
    const float half = std::bit_cast<float>(n.bits << 23);
    const float result = 2.0f * multiply_accumulate(half, p, half - 0.5f);
    return with_sign(n.value == 0.0f ? p : result, a);
  }
  DVM_HD double operator()(double a) const { return std::expm1(a); }
};

/// 2**x in double precision with an error of 2**-39, enough to be rounded to a float; x is limited to [-200, 200].
DVM_HD double exp2_wide(double a) {
  const double raised = a < -200.0 ? -200.0 : a;
  const double x = raised > 200.0 ? 200.0 : raised;
  const NearestWide n = nearest<1023>(x, 1.0);
  const double p =
      polynomial(x - n.value, 1.0, 0.6931471805412327, 0.24022650694742576, 0.0555041095922922,
                 0.009618129558879394, 0.001333343415708718, 0.0001540309824893305,
                 1.5314209345748083e-05, 1.3344192208780665e-06);
  return p * std::bit_cast<double>(n.bits << 52);
}

}  // namespace dvm::semantics

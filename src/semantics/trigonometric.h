// Trigonometric functions and their inverses. In single precision the angle is reduced to [-pi/4, pi/4], which is
// exact enough while |angle| <= 1e5; beyond, the functors are not `fast`.
#pragma once

#include "semantics/scalar.h"

namespace dvm::semantics {

struct Angle {
  float rest;              // the angle without its quarter turns,
  float low;               // and what that lacks
  std::uint32_t quarters;  // their number, in the low 22 bits
};

DVM_HD bool reduces_fast(float a) { return !(magnitude(a) > 1e5f); }

DVM_HD Angle reduce(float a) {
#if defined(__FMA__) || defined(__CUDA_ARCH__)
  // pi / 2 in three parts. The first difference is exact, since both terms are multiples of 2**-23 (or the number of
  // quarter turns is at most 1) and it is less than 1.
  const Nearest n = nearest(a, 0.636619772f);
  const float first = std::fma(n.value, -1.5707963705062866f, a);
  const float second = std::fma(n.value, 4.371138828673793e-08f, first);
  const float rest = std::fma(n.value, 1.7151245100058819e-15f, second);
  // What the last two steps lost. Where first - second would round itself, the angle is small and has its digits.
  const float lost = std::fma(n.value, 4.371138828673793e-08f, first - second);
  const float low = std::fma(n.value, 1.7151245100058819e-15f, lost) + (second - rest);
  return {rest, magnitude(second) > 0.125f ? low : 0.0f, n.bits};
#else
  const double x = a;
  const NearestWide n = nearest(x, 0.6366197723675814);
  const double first =
      x - n.value * 1.57079632673412561417;  // 33 bits, so that the product is exact
  const double exact = first - n.value * 6.07710050650619224932e-11;
  const float rest = static_cast<float>(exact);
  return {rest, static_cast<float>(exact - rest), static_cast<std::uint32_t>(n.bits)};
#endif
}

DVM_HD float sin_polynomial(float r) {
  const float z = r * r;
  const float p = polynomial(z, -1.6666655e-01f, 8.332192e-03f, -1.9518791e-04f);
  return multiply_accumulate(p * z, r, r);
}
DVM_HD float cos_polynomial(float r) {
  const float z = r * r;
  const float p = polynomial(z, 4.1666646e-02f, -1.388732e-03f, 2.4434286e-05f);
  return multiply_accumulate(p * z, z, multiply_accumulate(-0.5f, z, 1.0f));
}

/// sin(a + shift * pi / 2).
template <std::uint32_t shift>
DVM_HD float sin_shifted(float a) {
  const Angle angle = reduce(a);
  const std::uint32_t quarters = angle.quarters + shift;
  const float r = angle.rest;
  const float value = (quarters & 1) != 0 ? cos_polynomial(r) : sin_polynomial(r);
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) ^ ((quarters & 2) << 30));
}

struct sin {
  DVM_HD float operator()(float a) const { return a == 0.0f ? a : sin_shifted<0>(a); }
  DVM_HD double operator()(double a) const { return std::sin(a); }

  DVM_HD static bool fast(float a) { return reduces_fast(a); }
  DVM_HD static bool fast(double) { return true; }
  template <class T>
  static T slow(T a) {
    return fast(a) ? sin{}(a) : std::sin(a);
  }
};

struct cos {
  DVM_HD float operator()(float a) const { return sin_shifted<1>(a); }
  DVM_HD double operator()(double a) const { return std::cos(a); }

  DVM_HD static bool fast(float a) { return reduces_fast(a); }
  DVM_HD static bool fast(double) { return true; }
  template <class T>
  static T slow(T a) {
    return fast(a) ? cos{}(a) : std::cos(a);
  }
};

struct tan {
  DVM_HD float operator()(float a) const {
    const Angle angle = reduce(a);
    const float r = angle.rest;
    const float z = r * r;
    const float p = polynomial(z, 3.333335e-01f, 1.3332675e-01f, 5.4058913e-02f, 2.1286225e-02f,
                               1.0827248e-02f, 9.881335e-05f, 4.3722177e-03f);
    // tan(r + low) = tan(r) + low * (1 + tan(r)**2)
    const float low = multiply_accumulate(p * z, r, multiply_accumulate(angle.low, z, angle.low));
    const float tangent = r + low;
    const float result = (angle.quarters & 1) != 0 ? -1.0f / tangent : tangent;
    return a == 0.0f ? a : result;
  }
  DVM_HD double operator()(double a) const { return std::tan(a); }

  DVM_HD static bool fast(float a) { return reduces_fast(a); }
  DVM_HD static bool fast(double) { return true; }
  template <class T>
  static T slow(T a) {
    return fast(a) ? tan{}(a) : std::tan(a);
  }
};

inline constexpr float kHalfPi = 1.57079637050628662109f;
inline constexpr float kHalfPiLow = -4.37113900018624283e-8f;  // pi / 2 - kHalfPi

/// asin(x) - x for |x| <= 0.5, given z = x * x.
DVM_HD float asin_tail(float x, float z) {
  const float p = polynomial(z, 1.666666e-01f, 7.5009e-02f, 4.4401895e-02f, 3.2964397e-02f,
                             9.592837e-03f, 4.4753045e-02f);
  return p * z * x;
}

struct asin {
  DVM_HD float operator()(float a) const {
    // Beyond 0.5: asin(x) = pi/2 - 2 asin(sqrt((1 - x) / 2)).
    const float size = magnitude(a);
    const bool far = size > 0.5f;
    const float z = far ? 0.5f - 0.5f * size : size * size;
    const float x = far ? std::sqrt(z) : size;
    const float tail = asin_tail(x, z);
    const float reflected = kHalfPi - (2.0f * x + (2.0f * tail - kHalfPiLow));
    return with_sign(far ? reflected : x + tail, a);
  }
  DVM_HD double operator()(double a) const { return std::asin(a); }
};

struct acos {
  DVM_HD float operator()(float a) const {
    const float size = magnitude(a);
    const bool far = size > 0.5f;
    const float z = far ? 0.5f - 0.5f * size : size * size;
    const float x = far ? std::sqrt(z) : size;
    const float tail = asin_tail(x, z);
    const float angle = x + tail;
    const float near = kHalfPi - (with_sign(x, a) + (with_sign(tail, a) - kHalfPiLow));
    const float behind = 2.0f * (kHalfPi - (angle - kHalfPiLow));
    return far ? (a > 0.0f ? 2.0f * angle : behind) : near;
  }
  DVM_HD double operator()(double a) const { return std::acos(a); }
};

/// atan(t) for t in [0, 1].
DVM_HD float atan_polynomial(float t) {
  const float z = t * t;
  const float p =
      polynomial(z, -3.33333e-01f, 1.999853e-01f, -1.4264014e-01f, 1.0950878e-01f, -8.399369e-02f,
                 5.7884634e-02f, -3.1103352e-02f, 1.0874215e-02f, -1.7845937e-03f);
  return multiply_accumulate(p * z, t, t);
}

struct atan {
  DVM_HD float operator()(float a) const {
    const float size = magnitude(a);
    const bool far = size > 1.0f;
    const float angle = atan_polynomial(far ? 1.0f / size : size);
    return with_sign(far ? kHalfPi - (angle - kHalfPiLow) : angle, a);
  }
  DVM_HD double operator()(double a) const { return std::atan(a); }
};

struct atan2 {
  DVM_HD float operator()(float a, float b) const {
    const float y = magnitude(a);
    const float x = magnitude(b);
    const bool steep = y > x;
    const float small = steep ? x : y;
    const float large = steep ? y : x;
    const float ratio = small / large;
    // 0 / 0 counts as 0 and inf / inf as 1.
    const float infinite = (small == large) & (large != 0.0f) ? 1.0f : ratio;
    const float angle = atan_polynomial(large == 0.0f ? 0.0f : infinite);
    const float first = steep ? kHalfPi - (angle - kHalfPiLow) : angle;
    const float second =
        steep ? kHalfPi + (angle + kHalfPiLow) : 2.0f * kHalfPi - (angle - 2.0f * kHalfPiLow);
    const float result = with_sign(bits(b) < 0 ? second : first, a);
    return (a != a) | (b != b) ? a + b : result;
  }
  DVM_HD double operator()(double a, double b) const { return std::atan2(a, b); }
};

}  // namespace dvm::semantics

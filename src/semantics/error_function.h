// The error function, its complement and inverse, and gelu, which is made of the complement.
#pragma once

#include "semantics/logarithm.h"

namespace dvm::semantics {

struct erf {
  DVM_HD float operator()(float a) const {
    // Odd polynomial near 0; beyond, erf(x) = 1 - e**(-q(x)), whose error shrinks with the exponential.
    const float size = magnitude(a);
    const float x = limited_magnitude(a, 3.95f);
    const float z = size * size;
    const float p = polynomial(z, 1.2837917e-01f, -3.761263e-01f, 1.1283624e-01f, -2.685556e-02f,
                               5.191753e-03f, -8.039753e-04f, 7.9431e-05f);
    const float near = multiply_accumulate(p, size, size);
    const float q = x * polynomial(x, 1.1285224f, 6.3569105e-01f, 1.0529787e-01f, -2.2913108e-02f,
                                   3.2221787e-03f, -2.1486075e-04f);
    const float far = 1.0f - exp_normal(-q);
    return with_sign(size >= 0.9f ? far : near, a);  // near for nan
  }
  DVM_HD double operator()(double a) const { return std::erf(a); }
};

/// x * x as a sum: high, and what the product lost.
struct Square {
  float high;
  float low;
};
DVM_HD Square exact_square(float x) {
#if defined(__FMA__) || defined(__CUDA_ARCH__)
  const float high = x * x;
  return {high, std::fma(x, x, -high)};
#else
  // The square of x's upper 12 bits is exact.
  const float upper = std::bit_cast<float>(std::bit_cast<std::uint32_t>(x) & 0xfffff000u);
  const float square = upper * upper;
  const float rest = (x - upper) * (x + upper);
  const float high = square + rest;
  return {high, rest - (high - square)};
#endif
}

/// e**(x * x) * erfc(x) for |x| <= 10.4; nan where `size`, which is |x| before it was limited, is nan.
DVM_HD float erfc_scaled(float x, float size) {
  // (1 - s) times a polynomial in s = (x - 3) / (x + 3).
  const float r = 1.0f / (size + 3.0f);
  float s = (x - 3.0f) * r;
#if defined(__FMA__) || defined(__CUDA_ARCH__)
  const float rest = std::fma(-s, x, std::fma(-3.0f, s + 1.0f, x));  // x - 3 - s * (x + 3)
  s = std::fma(r, rest, s);
#endif
  return (1.0f - s) * polynomial(s, 1.7900115e-01f, -1.4723243e-01f, 9.837129e-02f, -5.1743984e-02f,
                                 1.9922752e-02f, -4.4751707e-03f, -2.1032026e-04f, 5.1470235e-04f,
                                 -7.105576e-05f, -4.9305403e-05f);
}

struct erfc {
  DVM_HD float operator()(float a) const {
    const float x = limited_magnitude(a, 10.4f);
    const Square square = exact_square(x);
    const Scaled e = exp_scaled(-square.high, -square.low);
    const float tail = scale(e.mantissa * erfc_scaled(x, magnitude(a)), e.exponent);
    return a < 0.0f ? 2.0f - tail : tail;
  }
  DVM_HD double operator()(double a) const { return std::erfc(a); }
};

struct gelu {
  DVM_HD float operator()(float a) const {
    // max(a, 0) - |a| * h with h = erfc(|a| / sqrt(2)) / 2, so that neither side cancels. h = 2**-q for a polynomial q
    // that is good for |a| <= 8.5. Further left the result, less than 1e-15, is taken as -0; -inf gives nan as in
    // PyTorch and in the formula.
    const float x = limited_magnitude(a, 8.5f);
    const float q =
        polynomial(x, 1.0f, 1.1511047e+00f, 4.592181e-01f, 5.2440364e-02f, -6.924546e-03f,
                   -4.3959717e-05f, 3.1971972e-04f, -9.694479e-05f, 1.7232907e-05f, -2.0140217e-06f,
                   1.5205354e-07f, -6.7310704e-09f, 1.326351e-10f);
    const Nearest n = nearest<127>(q, -1.0f);
    const float h = exp2_polynomial(-q - n.value) * std::bit_cast<float>(n.bits << 23);
    const float result = multiply_accumulate(-x, h, a < 0.0f ? -0.0f : a);
    return a >= -8.5f ? result : a * 0.0f;
  }
  DVM_HD double operator()(double a) const { return 0.5 * a * std::erfc(-0.7071067811865476 * a); }
};

/// erfinv(x) for |x| < 1 given y = 1 - |x|: x times a polynomial in w = -log(1 - x * x), or in its root.
DVM_HD float erfinv_estimate(float x, float y) {
  const float w = -log_of(split(y * (1.0f + magnitude(x))));
  const float near =
      polynomial(w - 2.5f, 1.5014093535137185f, 0.2466402876379122f, -0.004177339399451729f,
                 -0.0012527446658306706f, 0.00021828262398486815f, -4.961909143690188e-06f,
                 -3.4346085198571823e-06f, 4.658915363287466e-07f, 1.8036629969875173e-08f,
                 -8.772784390420426e-09f, 3.355761731972948e-10f);
  const float far =
      polynomial(std::sqrt(w < 5.0f ? 5.0f : w) - 3.0f, 2.8329767960284404f, 1.0016750741244373f,
                 0.009445655469848978f, -0.007639174081696193f, 0.005683473599769366f,
                 -0.003588181669473873f, 0.0014949483205321246f, -7.433045977356148e-05f,
                 -0.000317915669449384f, 0.00012745399506179815f);
  return x * (w < 5.0f ? near : far);
}

struct erfinv {
  DVM_HD float operator()(float a) const {
    const float y = 1.0f - magnitude(a);
    const float edge = y == 0.0f ? with_sign(kInfinity<float>, a) : kNan<float>;
    return y > 0.0f ? erfinv_estimate(a, y) : edge;
  }
  DVM_HD double operator()(double a) const {
    const double y = 1.0 - magnitude(a);
    if (!(y > 0.0)) return y == 0.0 ? with_sign(kInfinity<double>, a) : kNan<double>;
    // From the estimate in single precision, or from e**(-x * x) / (x * sqrt(pi)) where a float cannot tell |a| from 1,
    // Newton's method: on the logarithm of the complement where that has the digits.
    const float rest = static_cast<float>(y);
    const double tail = -std::log(y);
    double guess = y < 1e-6 ? std::sqrt(tail - 0.5 * std::log(3.141592653589793 * tail))
                            : static_cast<double>(erfinv_estimate(1.0f - rest, rest));
    for (int i = 0; i < 4; ++i) {
      const double complement = std::erfc(guess);
      const double error =
          y < 0.5 ? complement * std::log(y / complement) : std::erf(guess) - magnitude(a);
      guess -= error * 0.8862269254527580 * std::exp(guess * guess);
    }
    return with_sign(guess, a);
  }
};

}  // namespace dvm::semantics

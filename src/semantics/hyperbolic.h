// Hyperbolic functions and their inverses.
#pragma once

#include "semantics/logarithm.h"

namespace dvm::semantics {

/// e**|x| / 2, which overflows only where sinh and cosh do.
DVM_HD float half_exp(float x) {
  const Scaled e = exp_scaled(limited_magnitude(x, 90.0f));
  return scale(0.5f * e.mantissa, e.exponent);
}

struct sinh {
  DVM_HD float operator()(float a) const {
    const float size = magnitude(a);
    const float z = size * size;
    const float p = polynomial(z, 1.6666667e-01f, 8.333311e-03f, 1.9842635e-04f, 2.7839255e-06f);
    const float near = multiply_accumulate(p * z, size, size);
    const float half = half_exp(a);
    const float far = half - 0.25f / half;
    return with_sign(size >= 1.0f ? far : near, a);  // near for nan
  }
  DVM_HD double operator()(double a) const { return std::sinh(a); }
};

struct cosh {
  DVM_HD float operator()(float a) const {
    const float half = half_exp(a);
    const float result = half + 0.25f / half;
    return a != a ? a : result;
  }
  DVM_HD double operator()(double a) const { return std::cosh(a); }
};

struct tanh {
  DVM_HD float operator()(float a) const {
    const float size = magnitude(a);
    const float z = size * size;
    const float p = polynomial(z, -3.333332e-01f, 1.3332637e-01f, -5.3856842e-02f, 2.108826e-02f,
                               -6.295574e-03f);
    const float near = multiply_accumulate(p * z, size, size);
    const float e = exp_normal(2.0f * limited_magnitude(a, 10.0f));
    const float far = 1.0f - 2.0f / (e + 1.0f);
    return with_sign(size >= 0.55f ? far : near, a);  // near for nan
  }
  DVM_HD double operator()(double a) const {
    const double size = magnitude(a);
    const double z = size * size;
    const double p = polynomial(
        z, -0.333333333333333, 0.1333333333332656, -0.053968253963983116, 0.02186948840054452,
        -0.008863232960818486, 0.0035920966215015797, -0.0014555772041331071, 0.0005886009167070875,
        -0.00023380863869497428, 8.395993192802832e-05, -1.990641911895569e-05);
    const double near = multiply_accumulate(p * z, size, size);
    const double e = exp_normal(size > 20.0 ? 40.0 : 2.0 * size);
    const double far = 1.0 - 2.0 / (e + 1.0);
    return with_sign(size >= 0.55 ? far : near, a);  // near for nan
  }
};

// asinh and acosh take logarithms in double precision. Near 0, where those lose what makes up a small result, log1p
// takes over.

struct asinh {
  DVM_HD float operator()(float a) const {
    const float size = magnitude(a);
    const double x = size;
    const double far = 0.6931471805599453 * log2_wide(x + std::sqrt(x * x + 1.0));
    // asinh(x) = log1p(x + x**2 / (1 + sqrt(1 + x**2)))
    const float square = size * size;
    const float near = log_of_one_plus(size + square / (1.0f + std::sqrt(1.0f + square)));
    const float finite = size < 0.5f ? near : static_cast<float>(far);
    return with_sign(size < kInfinity<float> ? finite : size, a);
  }
  DVM_HD double operator()(double a) const { return std::asinh(a); }
};

struct acosh {
  DVM_HD float operator()(float a) const {
    const double x = a;
    // x - 1 is exact, so that a result near 0 keeps its digits: acosh(1 + y) = log1p(y + sqrt(y * (y + 2))).
    const double y = x - 1.0;
    const double far = 0.6931471805599453 * log2_wide(x + std::sqrt(y * (y + 2.0)));
    const float close = static_cast<float>(y + std::sqrt(y * (y + 2.0)));
    const float near = log_of_one_plus(close);
    const float finite = close < 0.5f ? near : static_cast<float>(far);
    const float defined = a < kInfinity<float> ? finite : a;
    return a < 1.0f ? kNan<float> : defined;
  }
  DVM_HD double operator()(double a) const { return std::acosh(a); }
};

struct atanh {
  DVM_HD float operator()(float a) const {
    const float size = magnitude(a);
    const float inside = 0.5f * log_of_one_plus(2.0f * size / (1.0f - size));
    const float edge = size == 1.0f ? kInfinity<float> : kNan<float>;
    return with_sign(size < 1.0f ? inside : edge, a);
  }
  DVM_HD double operator()(double a) const { return std::atanh(a); }
};

}  // namespace dvm::semantics

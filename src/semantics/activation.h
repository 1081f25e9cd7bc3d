// Activation functions made of exponentials and logarithms; gelu is in error_function.h. They evaluate e**-|x|,
// which neither overflows nor loses digits, and fold the sign in afterwards.
#pragma once

#include "semantics/logarithm.h"

namespace dvm::semantics {

/// a / (1 + e**-x), that is a * sigmoid(x).
template <class T>
DVM_HD T times_sigmoid(T a, T x) {
  const T e = exp{}(-magnitude(x));
  return (x < T(0) ? a * e : a) / (T(1) + e);
}

struct sigmoid {
  template <class T>
  DVM_HD T operator()(T a) const {
    return times_sigmoid(T(1), a);
  }
};

struct silu {
  template <class T>
  DVM_HD T operator()(T a) const {
    return times_sigmoid(a, a);
  }
};

struct gelu_tanh {
  template <class T>
  DVM_HD T operator()(T a) const {
    // (1 + tanh(u)) / 2 = sigmoid(2 * u)
    constexpr T kLinear = T(1.5957691216057308);  // 2 * sqrt(2 / pi)
    constexpr T kCubic = T(0.07135481627260025);  // 0.044715 times that
    return times_sigmoid(a, a * multiply_accumulate(a * a, kCubic, kLinear));
  }
};

struct softplus {
  DVM_HD float operator()(float a) const {
    // log(1 + e) for e in [0, 1], where halving (e - 1) brings 1 + e near 1 without any rounding that matters.
    const float e = exp{}(-magnitude(a));
    const bool large = e > 0.41f;
    const Split parts = {large ? 1.0f : 0.0f, large ? 0.5f * (e - 1.0f) : e};
    return (a > 0.0f ? a : 0.0f) + log_of(parts);
  }
  DVM_HD double operator()(double a) const {
    return (a > 0.0 ? a : 0.0) + std::log1p(std::exp(-magnitude(a)));
  }
};

}  // namespace dvm::semantics

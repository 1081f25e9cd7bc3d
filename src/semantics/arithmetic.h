// Arithmetic, and the superinstructions made of it. division.h has the quotients and remainders.
#pragma once

#include "semantics/scalar.h"

namespace dvm::semantics {

struct copy {
  template <class T>
  DVM_HD T operator()(T a) const {
    return a;
  }
};

struct add {
  template <class T>
  DVM_HD T operator()(T a, T b) const {
    if constexpr (is_float<T>)
      return a + b;
    else
      return static_cast<T>(static_cast<Wrapping<T>>(a) + static_cast<Wrapping<T>>(b));
  }
};
struct sub {
  template <class T>
  DVM_HD T operator()(T a, T b) const {
    if constexpr (is_float<T>)
      return a - b;
    else
      return static_cast<T>(static_cast<Wrapping<T>>(a) - static_cast<Wrapping<T>>(b));
  }
};
struct mul {
  template <class T>
  DVM_HD T operator()(T a, T b) const {
    if constexpr (is_float<T>)
      return a * b;
    else
      return static_cast<T>(static_cast<Wrapping<T>>(a) * static_cast<Wrapping<T>>(b));
  }
};
struct neg {
  template <class T>
  DVM_HD T operator()(T a) const {
    if constexpr (is_float<T>)
      return -a;
    else
      return static_cast<T>(Wrapping<T>(0) - static_cast<Wrapping<T>>(a));
  }
};
struct abs {
  template <class T>
  DVM_HD T operator()(T a) const {
    if constexpr (is_float<T>)
      return magnitude(a);
    else
      return a < 0 ? neg{}(a) : a;
  }
};
struct sign {
  template <class T>
  DVM_HD T operator()(T a) const {
    return (a > T(0) ? T(1) : T(0)) - (a < T(0) ? T(1) : T(0));
  }
};
struct square {
  template <class T>
  DVM_HD T operator()(T a) const {
    return mul{}(a, a);
  }
};
struct reciprocal {
  template <class T>
  DVM_HD T operator()(T a) const {
    return T(1) / a;
  }
};
struct sqrt {
  template <class T>
  DVM_HD T operator()(T a) const {
    return std::sqrt(a);
  }
};
struct rsqrt {
  template <class T>
  DVM_HD T operator()(T a) const {
    return T(1) / std::sqrt(a);
  }
};

struct hypot {
  DVM_HD float operator()(float a, float b) const {
    const double x = a;
    const double y = b;
    const float root = static_cast<float>(std::sqrt(x * x + y * y));  // no double overflows here
    const bool infinite = (magnitude(a) == kInfinity<float>) | (magnitude(b) == kInfinity<float>);
    return infinite ? kInfinity<float> : root;  // even beside a nan
  }
  DVM_HD double operator()(double a, double b) const { return std::hypot(a, b); }
};
struct copysign {
  template <class T>
  DVM_HD T operator()(T a, T b) const {
    return with_sign(a, b);
  }
};
struct nextafter {
  template <class T>
  DVM_HD T operator()(T a, T b) const {
    const bool away = (a < b) == (a > T(0));  // from zero
    const T moved = from_bits(add{}(bits(a), decltype(bits(a))(away ? 1 : -1)));
    const T from_zero = with_sign(std::numeric_limits<T>::denorm_min(), b);
    const T neighbour = a == T(0) ? from_zero : moved;
    const T result = a == b ? b : neighbour;
    return (a != a) | (b != b) ? a + b : result;
  }
};

struct gcd {
  template <class T>
  DVM_HD T operator()(T a, T b) const {
    using U = Wrapping<T>;
    U x = static_cast<U>(abs{}(a));
    U y = static_cast<U>(abs{}(b));
    while (y != 0) {
      const U rest = x % y;
      x = y;
      y = rest;
    }
    return static_cast<T>(x);
  }
};
struct lcm {
  template <class T>
  DVM_HD T operator()(T a, T b) const {
    using U = Wrapping<T>;
    const U divisor = static_cast<U>(gcd{}(a, b));
    const U quotient = static_cast<U>(abs{}(a)) / (divisor == 0 ? U(1) : divisor);
    return abs{}(static_cast<T>(quotient * static_cast<U>(abs{}(b))));
  }
};

struct multiply_add {
  template <class T>
  DVM_HD T operator()(T a, T b, T c) const {
    if constexpr (is_float<T>)
      return multiply_accumulate(a, b, c);
    else
      return add{}(mul{}(a, b), c);
  }
};
struct square_diff {
  template <class T>
  DVM_HD T operator()(T a, T b) const {
    return square{}(sub{}(a, b));
  }
};

}  // namespace dvm::semantics

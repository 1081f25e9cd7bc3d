// Comparisons, extremes, selection and logic.
#pragma once

#include "semantics/scalar.h"

namespace dvm::semantics {

struct eq {
  template <class T>
  DVM_HD Bool operator()(T a, T b) const {
    return a == b;
  }
};
struct ne {
  template <class T>
  DVM_HD Bool operator()(T a, T b) const {
    return a != b;
  }
};
struct lt {
  template <class T>
  DVM_HD Bool operator()(T a, T b) const {
    return a < b;
  }
};
struct le {
  template <class T>
  DVM_HD Bool operator()(T a, T b) const {
    return a <= b;
  }
};
struct gt {
  template <class T>
  DVM_HD Bool operator()(T a, T b) const {
    return a > b;
  }
};
struct ge {
  template <class T>
  DVM_HD Bool operator()(T a, T b) const {
    return a >= b;
  }
};

struct isnan {
  template <class T>
  DVM_HD Bool operator()(T a) const {
    return a != a;
  }
};
struct isinf {
  template <class T>
  DVM_HD Bool operator()(T a) const {
    return magnitude(a) == kInfinity<T>;
  }
};
struct isfinite {
  template <class T>
  DVM_HD Bool operator()(T a) const {
    return magnitude(a) < kInfinity<T>;
  }
};
struct signbit {
  template <class T>
  DVM_HD Bool operator()(T a) const {
    if constexpr (is_float<T>)
      return bits(a) < 0;
    else
      return a < 0;
  }
};

struct select {
  template <class T>
  DVM_HD T operator()(Bool a, T b, T c) const {
    return a ? b : c;
  }
};

// The order of the comparisons makes a nan in either operand the result: a comparison with it is false, and each
// of the two forms then hands on its second operand.
// A comparison with nan is false and gives the operand on the right, in one machine instruction. What is left to check
// is the other one: b, because it often is a number for the whole loop, and the check is then made once.
struct maximum {
  template <class T>
  DVM_HD T operator()(T a, T b) const {
    const T larger = b > a ? b : a;
    if constexpr (is_float<T>)
      return b != b ? b : larger;
    else
      return larger;
  }
};
struct minimum {
  template <class T>
  DVM_HD T operator()(T a, T b) const {
    const T smaller = b < a ? b : a;
    if constexpr (is_float<T>)
      return b != b ? b : smaller;
    else
      return smaller;
  }
};
struct fmax {
  template <class T>
  DVM_HD T operator()(T a, T b) const {
    const T larger = a > b ? a : b;
    if constexpr (is_float<T>)
      return b != b ? a : larger;
    else
      return larger;
  }
};
struct fmin {
  template <class T>
  DVM_HD T operator()(T a, T b) const {
    const T smaller = a < b ? a : b;
    if constexpr (is_float<T>)
      return b != b ? a : smaller;
    else
      return smaller;
  }
};
struct clamp {
  template <class T>
  DVM_HD T operator()(T a, T b, T c) const {
    const T raised = b > a ? b : a;
    const T clamped = c < raised ? c : raised;
    if constexpr (is_float<T>)
      return (b != b) | (c != c) ? b + c : clamped;
    else
      return clamped;
  }
};
struct relu {
  template <class T>
  DVM_HD T operator()(T a) const {
    return a < T(0) ? T(0) : a;
  }
};

struct logical_and {
  template <class T>
  DVM_HD Bool operator()(T a, T b) const {
    return static_cast<Bool>(a != T(0)) & static_cast<Bool>(b != T(0));
  }
};
struct logical_or {
  template <class T>
  DVM_HD Bool operator()(T a, T b) const {
    return static_cast<Bool>(a != T(0)) | static_cast<Bool>(b != T(0));
  }
};
struct logical_xor {
  template <class T>
  DVM_HD Bool operator()(T a, T b) const {
    return static_cast<Bool>(a != T(0)) ^ static_cast<Bool>(b != T(0));
  }
};
struct logical_not {
  template <class T>
  DVM_HD Bool operator()(T a) const {
    return a == T(0);
  }
};

}  // namespace dvm::semantics

// Two instructions in one, from isa/pairs.def: nothing but the composition of their functors.
#pragma once

#include "semantics/activation.h"
#include "semantics/arithmetic.h"
#include "semantics/bits.h"
#include "semantics/comparison.h"
#include "semantics/exponential.h"
#include "semantics/hyperbolic.h"
#include "semantics/rounding.h"

namespace dvm::semantics {

template <class Inner, class Outer>
struct pair_of {
  template <class T>
  DVM_HD T operator()(T a) const {
    return Outer{}(Inner{}(a));
  }
  // Two operands: the inner instruction takes both, or only the first.
  template <class T>
  DVM_HD T operator()(T a, T b) const {
    if constexpr (requires { Inner{}(a, b); }) {
      return Outer{}(Inner{}(a, b));
    } else {
      return Outer{}(Inner{}(a), b);
    }
  }
  template <class T>
  DVM_HD T operator()(T a, T b, T c) const {
    return Outer{}(Inner{}(a, b), c);
  }
};

#define PAIR(inner, outer, arity, set, properties) \
  struct inner##_##outer : pair_of<inner, outer> {};
#include "isa/pairs.def"

}  // namespace dvm::semantics

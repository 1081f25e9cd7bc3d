// What each elementwise instruction means: one functor per row of isa/elementwise.def, the same for every engine.
//
//   struct add { template <class T> DVM_HD T operator()(T a, T b) const; };
//
// T is float, double, int32_t, int64_t or uint8_t (a bool, 0 or 1), as the row's types say. Instructions with a
// bool result return uint8_t; `select` takes a uint8_t first (property kCondition). A conversion `to_<type>` takes
// any storage type of isa/types.def and returns its own.
//
// Loops over a functor are meant to vectorise: `for (i = 0; i < n; ++i) d[i] = f(a[i]);`. The functors are free of
// branches and calls where that is possible, and expect these flags:
//
//   -O3 -fno-math-errno -fno-trapping-math -ffp-contract=off, and -mfma wherever -mavx2 is
//
// They say themselves where to fuse a multiply and an add (the compiler must not: error terms would vanish), which
// also makes an element's result independent of its place in the loop.
//
// Guarded functors. A few (sin of a huge number, ...) have no branch-free form for all operands. Those have two more
// members, for every type of their row (for types where all is well, `fast` is constantly true):
//
//   template <class T> DVM_HD static bool fast(T a);  // operator() is right for these operands
//   template <class T> static T slow(T a);            // right for all operands; equal to operator() where fast
//
// An executor runs a block of elements through operator() when all of them are fast, and through slow() otherwise.
// `is_guarded<F, T, arity>` tells them apart. Never run operator() on operands that are not fast.
#pragma once

#include "semantics/activation.h"
#include "semantics/arithmetic.h"
#include "semantics/bits.h"
#include "semantics/comparison.h"
#include "semantics/conversion.h"
#include "semantics/division.h"
#include "semantics/error_function.h"
#include "semantics/exponential.h"
#include "semantics/half.h"
#include "semantics/hyperbolic.h"
#include "semantics/logarithm.h"
#include "semantics/pairs.h"
#include "semantics/rounding.h"
#include "semantics/trigonometric.h"

namespace dvm::semantics {

template <class F, class T, int arity>
constexpr bool is_guarded = false;
template <class F, class T>
  requires requires(T a) { F::fast(a); }
constexpr bool is_guarded<F, T, 1> = true;
template <class F, class T>
  requires requires(T a) { F::fast(a, a); }
constexpr bool is_guarded<F, T, 2> = true;

}  // namespace dvm::semantics

// What each reduction does to elements: the functors of fold_inner and fold_outer (reduce.h).
#pragma once

#include <cstdint>
#include <limits>
#include <type_traits>

#include "cpu/kernels/lanes.h"
#include "cpu/step.h"

namespace dvm::cpu {

// Integers wrap, so their arithmetic is done unsigned.
template <class T>
using Wrapping = typename std::conditional_t<std::is_integral_v<T>, std::make_unsigned<T>,
                                             std::type_identity<T>>::type;

// What a fold does: `map` an element, `join` two results, starting from `identity`. All take values and vectors alike.
template <class T>
struct Sum {
  using Value = Wrapping<T>;
  using IfNoNan = Sum;
  static constexpr bool kChecksNan = false;
  static constexpr Value identity() { return 0; }
  template <class V>
  static V map(const V& a) {
    return a;
  }
  template <class V>
  static V join(const V& a, const V& b) {
    return a + b;
  }
};

template <class T>
struct SumSquares : Sum<T> {
  template <class V>
  static V map(const V& a) {
    return a * a;
  }
};

// Of two operands.
template <class T>
struct SumProducts : Sum<T> {
  template <class V>
  static V map(const V& a, const V& b) {
    return a * b;
  }
};

template <class T>
struct SumSquareDiff : Sum<T> {
  template <class V>
  static V map(const V& a, const V& b) {
    const V difference = a - b;
    return difference * difference;
  }
};

template <class T>
struct Prod : Sum<T> {
  using Value = Wrapping<T>;
  static constexpr Value identity() { return 1; }
  template <class V>
  static V join(const V& a, const V& b) {
    return a * b;
  }
};

// The extreme of data without nan: one instruction joins.
template <class T, bool kSmallest>
struct PlainExtreme {
  using Value = T;
  using IfNoNan = PlainExtreme;
  static constexpr bool kChecksNan = false;
  static constexpr Value identity() {
    using Limits = std::numeric_limits<T>;
    if constexpr (std::is_floating_point_v<T>) {
      return kSmallest ? Limits::infinity() : -Limits::infinity();
    }
    if constexpr (sizeof(T) == 1) return kSmallest ? 1 : 0;  // a bool
    return kSmallest ? Limits::max() : Limits::min();
  }
  template <class V>
  static V map(const V& a) {
    return a;
  }
  template <class V>
  static V join(const V& a, const V& b) {
    return (kSmallest ? b < a : b > a) ? b : a;  // a where either is nan
  }
};

// A nan, once found, stays.
template <class T, bool kSmallest>
struct Extreme : PlainExtreme<T, kSmallest> {
  using IfNoNan = PlainExtreme<T, kSmallest>;
  static constexpr bool kChecksNan = std::is_floating_point_v<T>;
  template <class V>
  static V join(const V& a, const V& b) {
    const V extreme = IfNoNan::join(a, b);
    if constexpr (kChecksNan) return b == b ? extreme : b;
    return extreme;
  }
};
template <class T>
using Max = Extreme<T, false>;
template <class T>
using Min = Extreme<T, true>;

template <class T>
inline bool row_has_nan(const T* a, std::int64_t count) {
  std::int64_t i = 0;
#ifdef __AVX512BW__
  // One comparison looks at two vectors: it is true where either operand is nan.
  constexpr std::int64_t kStep = 4 * kLanes<T>;
  unsigned bad = 0;
  for (; i + kStep <= count; i += kStep) {
    for (int k = 0; k < 4; k += 2) {
      const T* const at = a + i + k * kLanes<T>;
      if constexpr (sizeof(T) == 4) {
        bad |=
            _mm512_cmp_ps_mask(_mm512_loadu_ps(at), _mm512_loadu_ps(at + kLanes<T>), _CMP_UNORD_Q);
      } else {
        bad |=
            _mm512_cmp_pd_mask(_mm512_loadu_pd(at), _mm512_loadu_pd(at + kLanes<T>), _CMP_UNORD_Q);
      }
    }
  }
  if (bad != 0) return true;
#endif
  using V = Lanes<T>;
  V zeros{};
  auto found = zeros != zeros;
  for (; i < count; i += kLanes<T>) {
    const V lanes =
        count - i >= kLanes<T> ? load_lanes(a + i) : load_some_lanes<T>(a + i, count - i, zeros);
    found |= lanes != lanes;
  }
  std::uint64_t words[kLanesBytes / 8], any = 0;
  std::memcpy(words, &found, sizeof(words));
  for (const std::uint64_t word : words) any |= word;
  return any != 0;
}

template <class T>
inline bool has_nan(const Step& step, Data data) {
  const std::uintptr_t a = data[step.slots[1]];
  if (step.outer_stride[1] == step.inner * static_cast<std::int64_t>(sizeof(T))) {
    return row_has_nan(reinterpret_cast<const T*>(a), step.outer * step.inner);
  }
  for (std::int64_t i = 0; i < step.outer; ++i) {
    const std::uintptr_t row = a + static_cast<std::uintptr_t>(i * step.outer_stride[1]);
    if (row_has_nan(reinterpret_cast<const T*>(row), step.inner)) return true;
  }
  return false;
}

}  // namespace dvm::cpu

// Reductions of a tile into accumulators: along its rows' elements (fold_inner) or across its rows (fold_outer). The
// order in which elements are joined depends on the shape of the tile alone. Joining goes through many partial
// results, as in blocked summation, so that errors grow slowly.
#pragma once

#include <algorithm>
#include <limits>
#include <type_traits>

#include "cpu/kernels/lanes.h"
#include "cpu/kernels/types.h"
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

// Rows up to this length are folded without vectors.
inline constexpr std::int64_t kShortRow = 6;

// Partial results per row that do not wait for each other.
inline constexpr int kChains = 4;

// The lanes of a row, not joined with each other yet.
template <class F, class T>
inline __attribute__((always_inline)) Lanes<T> fold_lanes(const T* a, std::int64_t count) {
  using V = Lanes<T>;
  constexpr std::int64_t kStride = kLanes<T>;
  const V identity = all_lanes<T>(F::identity());
  V chains[kChains] = {identity, identity, identity, identity};
  std::int64_t i = 0;
  for (; i + kChains * kStride <= count; i += kChains * kStride) {
    for (int k = 0; k < kChains; ++k) {
      chains[k] = F::join(chains[k], F::map(load_lanes(a + i + k * kStride)));
    }
  }
  for (; i + kStride <= count; i += kStride) {
    chains[0] = F::join(chains[0], F::map(load_lanes(a + i)));
  }
  if (i < count) {
    // The identity maps to itself, so lanes without an element change nothing.
    chains[1] = F::join(chains[1], F::map(load_some_lanes<T>(a + i, count - i, identity)));
  }
  return F::join(F::join(chains[0], chains[1]), F::join(chains[2], chains[3]));
}

template <class F, class T>
inline __attribute__((always_inline)) T fold_row(const T* a, std::int64_t count) {
  return join_lanes<F, T, kLanesBytes>(fold_lanes<F, T>(a, count));
}

#ifdef __AVX512BW__
template <class T>
inline __attribute__((always_inline)) Lanes<T> load_at_most(const T* at, std::int64_t count,
                                                            const Lanes<T>& rest) {
  const __mmask64 mask = first_bytes(count * static_cast<std::int64_t>(sizeof(T)));
  return reinterpret_cast<Lanes<T>>(
      _mm512_mask_loadu_epi8(reinterpret_cast<__m512i>(rest), mask, at));
}

// Joins the lanes of several rows at once: each step interleaves two vectors and joins the halves, so that lanes meet
// in the same order as in join_lanes.
template <class F, class T, int kRows>
inline void fold_rows(T* results, std::uintptr_t a, std::uintptr_t stride, std::int64_t count) {
  using V = Lanes<T>;
  using Index = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;
  constexpr int kCount = kLanes<T>;
  Lanes<Index> low, high, half;
  for (int i = 0; i < kCount; ++i) {
    low[i] = (i & 1) * kCount + i / 2;
    high[i] = low[i] + kCount / 2;
  }
  V rows[kRows];
  const auto partial = [&](const auto& fold) {
#pragma GCC unroll 1
    for (int k = 0; k < kRows; ++k) {
      int row = 0;  // k with its bits reversed: interleaving puts the rows in order
      for (int bit = 1; bit < kRows; bit *= 2) row = row * 2 + ((k & bit) != 0 ? 1 : 0);
      rows[k] = fold(reinterpret_cast<const T*>(a + stride * static_cast<unsigned>(row)));
    }
  };
  const V identity = all_lanes<T>(F::identity());
  if (count <= kCount) {
    partial([&](const T* row) { return F::map(load_at_most<T>(row, count, identity)); });
  } else if (count <= 2 * kCount) {
    partial([&](const T* row) {
      return F::join(F::map(load_lanes(row)),
                     F::map(load_at_most<T>(row + kCount, count - kCount, identity)));
    });
  } else {
    partial([&](const T* row) { return fold_lanes<F, T>(row, count); });
  }
  for (int left = kRows; left > 1; left /= 2) {
    for (int k = 0; k < left / 2; ++k) {
      const V first = rows[2 * k], second = rows[2 * k + 1];
      rows[k] =
          F::join(__builtin_shuffle(first, second, low), __builtin_shuffle(first, second, high));
    }
  }
  for (int width = kCount / 2; width >= kRows; width /= 2) {
    for (int i = 0; i < kCount; ++i) half[i] = (i + width) % kCount;
    rows[0] = F::join(rows[0], __builtin_shuffle(rows[0], half));
  }
  std::memcpy(results, &rows[0], kRows * sizeof(T));
}
#endif

// Rows too short for vectors: several at a time, each in a register of its own.
template <class F, class T>
inline void fold_short_rows(T* results, const T* a, std::int64_t stride, std::int64_t count) {
  constexpr int kRows = 8;
  T parts[kRows];
  for (int r = 0; r < kRows; ++r) parts[r] = F::identity();
  for (std::int64_t j = 0; j < count; ++j) {
    for (int r = 0; r < kRows; ++r) parts[r] = F::join(parts[r], F::map(a[r * stride + j]));
  }
  for (int r = 0; r < kRows; ++r) results[r] = parts[r];
}

template <class F, class T>
inline void fold_into(std::uintptr_t accumulator, T value) {
  T* const at = reinterpret_cast<T*>(accumulator);
  *at = F::join(*at, value);
}

// Folds rows `kRows` at a time by `fold` as long as there are so many.
template <class F, int kRows, class Fold>
inline __attribute__((always_inline)) void fold_groups(const Step& step, std::uintptr_t& dst,
                                                       std::uintptr_t& a, std::int64_t& rows,
                                                       const Fold& fold) {
  using T = typename F::Value;
  const auto dst_stride = static_cast<std::uintptr_t>(step.outer_stride[0]);
  const auto a_stride = static_cast<std::uintptr_t>(step.outer_stride[1]);
  for (; rows >= kRows; rows -= kRows) {
    T results[kRows];
    fold(results, a);
    if constexpr (kRows == kLanes<T>) {
      if (dst_stride == sizeof(T)) {
        T* const at = reinterpret_cast<T*>(dst);
        store_lanes(at, F::join(load_lanes(at), load_lanes(results)));
        dst += kLanesBytes;
        a += a_stride * kRows;
        continue;
      }
    }
    for (int r = 0; r < kRows; ++r)
      fold_into<F, T>(dst + dst_stride * static_cast<unsigned>(r), results[r]);
    dst += dst_stride * kRows;
    a += a_stride * kRows;
  }
}

template <class F>
void fold_inner(const Step& step, Data data) {
  using T = typename F::Value;
  if constexpr (F::kChecksNan) {
    if (!has_nan<T>(step, data)) return fold_inner<typename F::IfNoNan>(step, data);
  }
  std::uintptr_t dst = data[step.slots[0]], a = data[step.slots[1]];
  [[maybe_unused]] const auto stride = static_cast<std::uintptr_t>(step.outer_stride[1]);
  std::int64_t rows = step.outer;
  if (step.inner <= kShortRow) {
    fold_groups<F, 8>(step, dst, a, rows, [&](T* results, std::uintptr_t from) {
      fold_short_rows<F, T>(results, reinterpret_cast<const T*>(from),
                            step.outer_stride[1] / static_cast<std::int64_t>(sizeof(T)),
                            step.inner);
    });
  }
#ifdef __AVX512BW__
  if constexpr (sizeof(T) >= 4) {
    fold_groups<F, kLanes<T>>(step, dst, a, rows, [&](T* results, std::uintptr_t from) {
      fold_rows<F, T, kLanes<T>>(results, from, stride, step.inner);
    });
    fold_groups<F, 4>(step, dst, a, rows, [&](T* results, std::uintptr_t from) {
      fold_rows<F, T, 4>(results, from, stride, step.inner);
    });
  }
#endif
  fold_groups<F, 1>(step, dst, a, rows, [&](T* results, std::uintptr_t from) {
    *results = fold_row<F, T>(reinterpret_cast<const T*>(from), step.inner);
  });
}

// Some vectors of columns at a time; even and odd rows apart. `some` is the width of the last vector.
template <class F, class T, int kWidth>
inline __attribute__((always_inline)) void fold_columns(T* dst, const T* a, std::int64_t stride,
                                                        std::int64_t rows, std::int64_t some) {
  using V = Lanes<T>;
  const V identity = all_lanes<T>(F::identity());
  const auto load = [&](const T* at) {
    return some == kLanes<T> ? load_lanes(at) : load_some_lanes<T>(at, some, identity);
  };
  V even[kWidth];
  for (int k = 0; k < kWidth; ++k) even[k] = F::map(load(a + k * kLanes<T>));
  if (rows > 1) {
    V odd[kWidth];
    for (int k = 0; k < kWidth; ++k) odd[k] = F::map(load(a + stride + k * kLanes<T>));
    std::int64_t i = 2;
    for (; i + 2 <= rows; i += 2) {
      for (int k = 0; k < kWidth; ++k) {
        even[k] = F::join(even[k], F::map(load(a + i * stride + k * kLanes<T>)));
        odd[k] = F::join(odd[k], F::map(load(a + (i + 1) * stride + k * kLanes<T>)));
      }
    }
    if (i < rows) {
      for (int k = 0; k < kWidth; ++k)
        even[k] = F::join(even[k], F::map(load(a + i * stride + k * kLanes<T>)));
    }
    for (int k = 0; k < kWidth; ++k) even[k] = F::join(even[k], odd[k]);
  }
  for (int k = 0; k < kWidth; ++k) {
    T* const at = dst + k * kLanes<T>;
    const V result = F::join(load(at), even[k]);
    if (some == kLanes<T>) {
      store_lanes(at, result);
    } else {
      store_some_lanes<T>(at, some, result);
    }
  }
}

// Adjacent rows much shorter than a vector: as many rows as a vector has lanes are a whole number of vectors.
template <class F, class T>
inline std::int64_t fold_short_columns(T* dst, const T* a, std::int64_t rows, std::int64_t cols) {
  using V = Lanes<T>;
  constexpr std::int64_t kMost = 16;
  const std::int64_t groups = rows / kLanes<T>;
  if (cols > kMost || groups < 2) return 0;
  V parts[kMost];
  for (std::int64_t k = 0; k < cols; ++k) parts[k] = F::map(load_lanes(a + k * kLanes<T>));
  for (std::int64_t g = 1; g < groups; ++g) {
    const T* const from = a + g * cols * kLanes<T>;
    for (std::int64_t k = 0; k < cols; ++k)
      parts[k] = F::join(parts[k], F::map(load_lanes(from + k * kLanes<T>)));
  }
  alignas(64) T flat[kMost * kLanes<T>];
  for (std::int64_t k = 0; k < cols; ++k) store_lanes(flat + k * kLanes<T>, parts[k]);
  for (std::int64_t j = 0; j < cols; ++j) {
    T result = flat[j];
    for (std::int64_t i = 1; i < kLanes<T>; ++i) result = F::join(result, flat[i * cols + j]);
    dst[j] = F::join(dst[j], result);
  }
  return groups * kLanes<T>;
}

template <class F>
void fold_outer(const Step& step, Data data) {
  using T = typename F::Value;
  if constexpr (F::kChecksNan) {
    if (!has_nan<T>(step, data)) return fold_outer<typename F::IfNoNan>(step, data);
  }
  constexpr int kWidth = 4;
  T* dst = reinterpret_cast<T*>(data[step.slots[0]]);
  const T* a = reinterpret_cast<const T*>(data[step.slots[1]]);
  const std::int64_t stride = step.outer_stride[1] / static_cast<std::int64_t>(sizeof(T));
  std::int64_t rows = step.outer;
  if (stride == step.inner) {
    const std::int64_t done = fold_short_columns<F, T>(dst, a, rows, step.inner);
    a += done * stride;
    rows -= done;
  }
  if (rows == 0) return;
  std::int64_t j = 0;
  for (; j + kWidth * kLanes<T> <= step.inner; j += kWidth * kLanes<T>) {
    fold_columns<F, T, kWidth>(dst + j, a + j, stride, rows, kLanes<T>);
  }
  for (; j + kLanes<T> <= step.inner; j += kLanes<T>)
    fold_columns<F, T, 1>(dst + j, a + j, stride, rows, kLanes<T>);
  if (j < step.inner) fold_columns<F, T, 1>(dst + j, a + j, stride, rows, step.inner - j);
}

// argmax and argmin. Of equal elements the one with the smaller index wins, in whatever order they come.
template <class T, bool kSmallest>
struct Champion {
  static bool beats(T a, T b) {  // a before b, by value
    if constexpr (std::is_floating_point_v<T>) {
      if (b != b) return false;
      if (a != a) return true;
    }
    return kSmallest ? a < b : a > b;
  }
  static bool ties(T a, T b) {
    if constexpr (std::is_floating_point_v<T>) return a == b || (a != a && b != b);
    return a == b;
  }
  static void challenge(std::int64_t& index, T& best, T value, std::int64_t at) {
    if (beats(value, best)) {
      best = value;
      index = at;
    } else if (at < index && ties(value, best)) {
      index = at;
    }
  }
};

template <class T, bool kSmallest>
std::int64_t find_first(const T* a, std::int64_t count, T wanted) {
  constexpr std::int64_t kBlock = 64;
  std::int64_t i = 0;
  for (; i + kBlock <= count; i += kBlock) {
    unsigned found = 0;
    for (std::int64_t j = 0; j < kBlock; ++j)
      found |= Champion<T, kSmallest>::ties(a[i + j], wanted) ? 1u : 0u;
    if (found != 0) break;
  }
  while (i < count && !Champion<T, kSmallest>::ties(a[i], wanted)) ++i;
  return i;
}

// Finds the row's extreme first and then its place: two fast passes over data in cache.
template <class T, bool kSmallest>
void arg_inner(const Step& step, Data data) {
  for (std::int64_t i = 0; i < step.outer; ++i) {
    const auto at = [&](int k) {
      return data[step.slots[k]] + static_cast<std::uintptr_t>(i * step.outer_stride[k]);
    };
    if (step.inner == 0) return;
    const T* const a = reinterpret_cast<const T*>(at(1));
    auto& index = *reinterpret_cast<std::int64_t*>(at(0));
    T& best = *reinterpret_cast<T*>(at(2));
    const T extreme = fold_row<Extreme<T, kSmallest>, T>(a, step.inner);
    using Rule = Champion<T, kSmallest>;
    if (!Rule::beats(extreme, best) && !Rule::ties(extreme, best)) continue;
    const std::int64_t place = find_first<T, kSmallest>(a, step.inner, extreme);
    Rule::challenge(index, best, extreme,
                    static_cast<std::int64_t>(at(3)) + place * step.inner_stride[3]);
  }
}

template <class T, bool kSmallest>
void arg_outer(const Step& step, Data data) {
  auto* const index = reinterpret_cast<std::int64_t*>(data[step.slots[0]]);
  T* const best = reinterpret_cast<T*>(data[step.slots[2]]);
  for (std::int64_t i = 0; i < step.outer; ++i) {
    const T* const a = reinterpret_cast<const T*>(
        data[step.slots[1]] + static_cast<std::uintptr_t>(i * step.outer_stride[1]));
    const std::int64_t first =
        static_cast<std::int64_t>(data[step.slots[3]]) + i * step.outer_stride[3];
    for (std::int64_t j = 0; j < step.inner; ++j) {
      Champion<T, kSmallest>::challenge(index[j], best[j], a[j], first + j * step.inner_stride[3]);
    }
  }
}

template <class F>
void install_fold(KernelTable& table, Op op, Type type) {
  table.kernels[opcode(op, type)][kFoldInner] = fold_inner<F>;
  table.kernels[opcode(op, type)][kFoldOuter] = fold_outer<F>;
}

template <Type type>
void install_folds(KernelTable& table) {
  using T = CType<type>;
  install_fold<Max<T>>(table, Op::max, type);
  install_fold<Min<T>>(table, Op::min, type);
  if constexpr (type == Type::bool_) {
    install_fold<Max<T>>(table, Op::any, type);
    install_fold<Min<T>>(table, Op::all, type);
  } else {
    install_fold<Sum<T>>(table, Op::sum, type);
    install_fold<Prod<T>>(table, Op::prod, type);
  }
  if constexpr (std::is_floating_point_v<T>)
    install_fold<SumSquares<T>>(table, Op::sum_squares, type);
  table.kernels[opcode(Op::argmax, type)][kFoldInner] = arg_inner<T, false>;
  table.kernels[opcode(Op::argmax, type)][kFoldOuter] = arg_outer<T, false>;
  table.kernels[opcode(Op::argmin, type)][kFoldInner] = arg_inner<T, true>;
  table.kernels[opcode(Op::argmin, type)][kFoldOuter] = arg_outer<T, true>;
}

}  // namespace dvm::cpu

// Reductions of a tile into accumulators: along its rows' elements (fold_inner) or across its rows (fold_outer). The
// order in which elements are joined depends on the shape of the tile alone. Joining goes through many partial
// results, as in blocked summation, so that errors grow slowly.
#pragma once

#include <algorithm>
#include <type_traits>

#include "cpu/kernels/fold.h"
#include "cpu/kernels/lanes.h"
#include "cpu/step.h"

namespace dvm::cpu {

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

}  // namespace dvm::cpu

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

// A row of elements to be folded: those of one operand,
template <class F>
struct RowOfOne {
  using T = typename F::Value;
  const T* a;
  Lanes<T> lanes(std::int64_t i) const { return F::map(load_lanes(a + i)); }
  // The identity maps to itself, so lanes without an element change nothing.
  Lanes<T> some(std::int64_t i, std::int64_t count, const Lanes<T>& identity) const {
    return F::map(load_some_lanes<T>(a + i, count, identity));
  }
  T element(std::int64_t i) const { return F::map(a[i]); }
};
// or of two, the second of which may be one value for the whole row.
template <class F, bool kBroadcast>
struct RowOfTwo {
  using T = typename F::Value;
  const T* a;
  const T* b;
  Lanes<T> lanes(std::int64_t i) const {
    return F::map(load_lanes(a + i), kBroadcast ? all_lanes<T>(*b) : load_lanes(b + i));
  }
  Lanes<T> some(std::int64_t i, std::int64_t count, const Lanes<T>& identity) const {
    const Lanes<T> second =
        kBroadcast ? all_lanes<T>(*b) : load_some_lanes<T>(b + i, count, Lanes<T>{});
    return keep_some_lanes<T>(F::map(load_some_lanes<T>(a + i, count, Lanes<T>{}), second), count,
                              identity);
  }
  T element(std::int64_t i) const { return F::map(a[i], b[kBroadcast ? 0 : i]); }
};

// The rows of a tile, from a given one on.
template <class F>
struct RowsOfOne {
  using T = typename F::Value;
  std::uintptr_t a;
  std::uintptr_t a_stride;
  RowsOfOne(const Step& step, Data data)
      : a(data[step.slots[1]]), a_stride(static_cast<std::uintptr_t>(step.outer_stride[1])) {}
  RowOfOne<F> row(std::int64_t i) const {
    return {reinterpret_cast<const T*>(a + static_cast<std::uintptr_t>(i) * a_stride)};
  }
  void advance(std::int64_t rows) { a += static_cast<std::uintptr_t>(rows) * a_stride; }
};
template <class F, bool kBroadcast>
struct RowsOfTwo {
  using T = typename F::Value;
  std::uintptr_t a, b;
  std::uintptr_t a_stride, b_stride;
  RowsOfTwo(const Step& step, Data data)
      : a(data[step.slots[1]]),
        b(data[step.slots[2]]),
        a_stride(static_cast<std::uintptr_t>(step.outer_stride[1])),
        b_stride(static_cast<std::uintptr_t>(step.outer_stride[2])) {}
  RowOfTwo<F, kBroadcast> row(std::int64_t i) const {
    return {reinterpret_cast<const T*>(a + static_cast<std::uintptr_t>(i) * a_stride),
            reinterpret_cast<const T*>(b + static_cast<std::uintptr_t>(i) * b_stride)};
  }
  void advance(std::int64_t rows) {
    a += static_cast<std::uintptr_t>(rows) * a_stride;
    b += static_cast<std::uintptr_t>(rows) * b_stride;
  }
};

// The lanes of a row, not joined with each other yet.
template <class F, class Row>
inline __attribute__((always_inline)) auto fold_lanes(const Row& row, std::int64_t count) {
  using T = typename F::Value;
  using V = Lanes<T>;
  constexpr std::int64_t kStride = kLanes<T>;
  const V identity = all_lanes<T>(F::identity());
  V chains[kChains] = {identity, identity, identity, identity};
  std::int64_t i = 0;
  for (; i + kChains * kStride <= count; i += kChains * kStride) {
    for (int k = 0; k < kChains; ++k) {
      chains[k] = F::join(chains[k], row.lanes(i + k * kStride));
    }
  }
  for (; i + kStride <= count; i += kStride) {
    chains[0] = F::join(chains[0], row.lanes(i));
  }
  if (i < count) chains[1] = F::join(chains[1], row.some(i, count - i, identity));
  return F::join(F::join(chains[0], chains[1]), F::join(chains[2], chains[3]));
}

template <class F, class Row>
inline __attribute__((always_inline)) auto fold_row(const Row& row, std::int64_t count) {
  return join_lanes<F, typename F::Value, kLanesBytes>(fold_lanes<F>(row, count));
}

#ifdef __AVX512BW__
// Joins the lanes of several rows at once: each step interleaves two vectors and joins the halves, so that lanes meet
// in the same order as in join_lanes.
template <class F, int kRows, class Rows>
inline void fold_rows(typename F::Value* results, const Rows& from, std::int64_t count) {
  using T = typename F::Value;
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
    for (int row = 0; row < kRows; ++row) {
      int k = 0;  // row with its bits reversed: interleaving puts the rows in order
      for (int bit = 1; bit < kRows; bit *= 2) k = k * 2 + ((row & bit) != 0 ? 1 : 0);
      rows[k] = fold(from.row(row));
    }
  };
  const V identity = all_lanes<T>(F::identity());
  if (count <= kCount) {
    partial([&](const auto& row) { return row.some(0, count, identity); });
  } else if (count <= 2 * kCount) {
    partial([&](const auto& row) {
      return F::join(row.lanes(0), row.some(kCount, count - kCount, identity));
    });
  } else {
    partial([&](const auto& row) { return fold_lanes<F>(row, count); });
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
template <class F, class Rows>
inline void fold_short_rows(typename F::Value* results, const Rows& rows, std::int64_t count) {
  constexpr int kRows = 8;
  typename F::Value parts[kRows];
  for (int r = 0; r < kRows; ++r) parts[r] = F::identity();
  for (std::int64_t j = 0; j < count; ++j) {
    for (int r = 0; r < kRows; ++r) parts[r] = F::join(parts[r], rows.row(r).element(j));
  }
  for (int r = 0; r < kRows; ++r) results[r] = parts[r];
}

template <class F, class T>
inline void fold_into(std::uintptr_t accumulator, T value) {
  T* const at = reinterpret_cast<T*>(accumulator);
  *at = F::join(*at, value);
}

// Sets the accumulators of a step that starts: `count` of them, `stride` bytes apart.
template <class T>
inline void start(std::uintptr_t accumulators, std::int64_t count, std::int64_t stride,
                  T identity) {
  for (std::int64_t i = 0; i < count; ++i) {
    *reinterpret_cast<T*>(accumulators) = identity;
    accumulators += static_cast<std::uintptr_t>(stride);
  }
}

// Folds rows `kRows` at a time by `fold` as long as there are so many.
template <class F, int kRows, class Rows, class Fold>
inline __attribute__((always_inline)) void fold_groups(const Step& step, std::uintptr_t& dst,
                                                       Rows& from, std::int64_t& rows,
                                                       const Fold& fold) {
  using T = typename F::Value;
  const auto dst_stride = static_cast<std::uintptr_t>(step.outer_stride[0]);
  for (; rows >= kRows; rows -= kRows) {
    T results[kRows];
    fold(results, from);
    from.advance(kRows);
    if constexpr (kRows == kLanes<T>) {
      if (dst_stride == sizeof(T)) {
        T* const at = reinterpret_cast<T*>(dst);
        store_lanes(at, F::join(load_lanes(at), load_lanes(results)));
        dst += kLanesBytes;
        continue;
      }
    }
    for (int r = 0; r < kRows; ++r)
      fold_into<F, T>(dst + dst_stride * static_cast<unsigned>(r), results[r]);
    dst += dst_stride * kRows;
  }
}

template <class F, class Rows = RowsOfOne<F>>
void fold_inner(const Step& step, Data data) {
  using T = typename F::Value;
  if constexpr (F::kChecksNan) {
    if (!has_nan<T>(step, data)) return fold_inner<typename F::IfNoNan>(step, data);
  }
  std::uintptr_t dst = data[step.slots[0]];
  Rows from(step, data);
  std::int64_t rows = step.outer;
  if (step.starts) start<T>(dst, step.outer, step.outer_stride[0], F::identity());
  if (step.inner <= kShortRow) {
    fold_groups<F, 8>(step, dst, from, rows, [&](T* results, const Rows& first) {
      fold_short_rows<F>(results, first, step.inner);
    });
  }
#ifdef __AVX512BW__
  if constexpr (sizeof(T) >= 4) {
    fold_groups<F, kLanes<T>>(step, dst, from, rows, [&](T* results, const Rows& first) {
      fold_rows<F, kLanes<T>>(results, first, step.inner);
    });
    fold_groups<F, 4>(step, dst, from, rows, [&](T* results, const Rows& first) {
      fold_rows<F, 4>(results, first, step.inner);
    });
  }
#endif
  fold_groups<F, 1>(step, dst, from, rows, [&](T* results, const Rows& first) {
    *results = fold_row<F>(first.row(0), step.inner);
  });
}

// Some vectors of columns at a time; even and odd rows apart. `some` is the width of the last vector.
template <class F, int kWidth, class Rows>
inline __attribute__((always_inline)) void fold_columns(typename F::Value* dst, const Rows& from,
                                                        std::int64_t first, std::int64_t rows,
                                                        std::int64_t some) {
  using T = typename F::Value;
  using V = Lanes<T>;
  const V identity = all_lanes<T>(F::identity());
  const auto load = [&](const auto& row, int k) {
    const std::int64_t at = first + k * kLanes<T>;
    return some == kLanes<T> ? row.lanes(at) : row.some(at, some, identity);
  };
  V even[kWidth];
  for (int k = 0; k < kWidth; ++k) even[k] = load(from.row(0), k);
  if (rows > 1) {
    V odd[kWidth];
    for (int k = 0; k < kWidth; ++k) odd[k] = load(from.row(1), k);
    std::int64_t i = 2;
    for (; i + 2 <= rows; i += 2) {
      const auto one = from.row(i), other = from.row(i + 1);
      for (int k = 0; k < kWidth; ++k) {
        even[k] = F::join(even[k], load(one, k));
        odd[k] = F::join(odd[k], load(other, k));
      }
    }
    if (i < rows) {
      for (int k = 0; k < kWidth; ++k) even[k] = F::join(even[k], load(from.row(i), k));
    }
    for (int k = 0; k < kWidth; ++k) even[k] = F::join(even[k], odd[k]);
  }
  for (int k = 0; k < kWidth; ++k) {
    T* const at = dst + first + k * kLanes<T>;
    if (some == kLanes<T>) {
      store_lanes(at, F::join(load_lanes(at), even[k]));
    } else {
      store_some_lanes<T>(at, some, F::join(load_some_lanes<T>(at, some, identity), even[k]));
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

template <class F, class Rows = RowsOfOne<F>>
void fold_outer(const Step& step, Data data) {
  using T = typename F::Value;
  if constexpr (F::kChecksNan) {
    if (!has_nan<T>(step, data)) return fold_outer<typename F::IfNoNan>(step, data);
  }
  constexpr int kWidth = 4;
  T* dst = reinterpret_cast<T*>(data[step.slots[0]]);
  Rows from(step, data);
  std::int64_t rows = step.outer;
  if (step.starts) std::fill_n(dst, step.inner, F::identity());
  if constexpr (std::is_same_v<Rows, RowsOfOne<F>>) {
    if (step.outer_stride[1] == step.inner * static_cast<std::int64_t>(sizeof(T))) {
      const std::int64_t done = fold_short_columns<F, T>(dst, from.row(0).a, rows, step.inner);
      from.advance(done);
      rows -= done;
    }
  }
  if (rows == 0) return;
  std::int64_t j = 0;
  for (; j + kWidth * kLanes<T> <= step.inner; j += kWidth * kLanes<T>)
    fold_columns<F, kWidth>(dst, from, j, rows, kLanes<T>);
  for (; j + kLanes<T> <= step.inner; j += kLanes<T>)
    fold_columns<F, 1>(dst, from, j, rows, kLanes<T>);
  if (j < step.inner) fold_columns<F, 1>(dst, from, j, rows, step.inner - j);
}

}  // namespace dvm::cpu

// Sums of outer products of columns of a with rows of b, which is contiguous along n. Each element of a is broadcast; a may
// have any strides. Accumulators stay in registers over chunks of k.
#pragma once

#include <algorithm>
#include <type_traits>
#include <utility>

#include "cpu/kernels/dot.h"

namespace dvm::cpu::matmul {

// Rows of a and vectors of b whose sums are in registers.
// More than 8 rows leave g++ 12 without registers for their addresses, and it spills the sums.
#if DVM_VECTOR_BYTES == 64
inline constexpr int kOuterRows = 8, kOuterVectors = 2;
#elif DVM_VECTOR_BYTES == 32
inline constexpr int kOuterRows = 6, kOuterVectors = 2;
#else
inline constexpr int kOuterRows = 4, kOuterVectors = 2;
#endif
constexpr int chains_of(std::int64_t rows) {
  return static_cast<int>(std::clamp<std::int64_t>(kOuterRows / rows, 1, 4));
}
// Elements of k that are summed before the sums go to memory: the fewer, the less is lost by rounding.
inline constexpr std::int64_t kOuterDepth = 192;
inline constexpr std::int64_t kLine = 64;  // bytes that come at a time

template <int kLines>
inline __attribute__((always_inline)) void bring([[maybe_unused]] const char* ahead) {
  for (int line = 0; line < kLines; ++line) __builtin_prefetch(ahead + line * kLine, 0, 2);
}

// Runs body(0) to body(kCount - 1) with constants for arguments: sums that are indexed by anything else do not all stay in
// registers, g++ 12 writes them to memory between one loop and the next.
template <int kCount, class Body>
inline __attribute__((always_inline)) void each(Body body) {
  [&]<int... kIndex>(std::integer_sequence<int, kIndex...>) __attribute__((always_inline)) {
    (body(std::integral_constant<int, kIndex>{}), ...);
  }(std::make_integer_sequence<int, kCount>{});
}

// Adds the product of a column of kRows elements of a and a row of b, of whose last vector `last` elements are there if it
// is cut.
template <class S, int kRows, int kVectors, bool kCut>
inline __attribute__((always_inline)) void outer_step(
    const typename S::A* a, std::int64_t a_row, const typename S::B* b, std::int64_t last,
    Vector<typename S::Sum> (&sums)[kRows][kVectors]) {
  using T = typename S::Sum;
  Vector<T> right[kVectors];
  each<kVectors>([&](auto v) __attribute__((always_inline)) {
    right[v] =
        kCut && v == kVectors - 1 ? S::right(b + v * kWidth<T>, last) : S::right(b + v * kWidth<T>);
    // Else g++ 12 loads it again for every row.
    if constexpr (kRows > 1) asm("" : "+v"(right[v]));
  });
  each<kRows>([&](auto r) __attribute__((always_inline)) {
    const Vector<T> left = converted<T>(a[r * a_row]) - Vector<T>{};
    each<kVectors>([&](auto v) __attribute__((always_inline)) {
      sums[r][v] = multiply_add<T>(left, right[v], sums[r][v]);
    });
  });
}

// `cols` columns of kVectors vectors, the last of which may be cut. With each row of b come so many lines closer, from `ahead`
// on. Few rows are summed in several chains, so that no sum waits for itself.
template <class S, int kRows, int kVectors, bool kCut, int kLines>
void outer_tile(const MatrixTile& t, std::int64_t i, std::int64_t j, std::int64_t cols,
                std::int64_t from, std::int64_t depth, [[maybe_unused]] const char* ahead) {
  using T = typename S::Sum;
  constexpr int kChains = chains_of(kRows);
  const auto* a = static_cast<const typename S::A*>(t.a) + i * t.a_row + from * t.a_col;
  const auto* b = static_cast<const typename S::B*>(t.b) + j + from * t.b_row;
  const std::int64_t a_row = t.a_row, a_col = t.a_col, b_row = t.b_row;
  const std::int64_t last = cols - (kVectors - 1) * kWidth<T>;
  Vector<T> chains[kChains][kRows][kVectors];
  each<kChains * kRows * kVectors>([&](auto n) __attribute__((always_inline)) {
    chains[n / (kRows * kVectors)][n / kVectors % kRows][n % kVectors] = Vector<T>{};
  });
  const auto step = [&](auto chain) __attribute__((always_inline)) {
    bring<kLines>(ahead);
    ahead += kLines * kLine;
    outer_step<S, kRows, kVectors, kCut>(a, a_row, b, last, chains[chain]);
    a += a_col;
    b += b_row;
  };
  std::int64_t k = depth;
  for (; k >= kChains; k -= kChains) each<kChains>(step);
  if constexpr (kChains > 1) {
    for (; k > 0; --k) step(std::integral_constant<int, 0>{});
  }
  const bool adds = from > 0 || t.adds;
  T* const c = static_cast<T*>(t.c) + i * t.c_row + j;
  const std::int64_t c_row = t.c_row;
  each<kRows>([&](auto r) __attribute__((always_inline)) {
    each<kVectors>([&](auto v) __attribute__((always_inline)) {
      Vector<T> sum = chains[0][r][v];
      each<kChains - 1>([&](auto chain)
                            __attribute__((always_inline)) { sum += chains[chain + 1][r][v]; });
      T* const at = c + r * c_row + v * kWidth<T>;
      constexpr bool kPart = kCut && v == kVectors - 1;
      if (adds) sum += kPart ? load_some(at, last) : load(at);
      if constexpr (kPart) {
        __builtin_memcpy(at, &sum, static_cast<std::size_t>(last) * sizeof(T));
      } else {
        *reinterpret_cast<Vector<T>*>(at) = sum;
      }
    });
  });
}

template <class S, int kVectors, bool kCut, int kLines, int kMost = kOuterRows>
void outer_rows(const MatrixTile& t, std::int64_t i, std::int64_t rows, std::int64_t j,
                std::int64_t cols, std::int64_t from, std::int64_t depth,
                const char* ahead = nullptr) {
  if constexpr (kMost > 1) {
    if (rows < kMost)
      return outer_rows<S, kVectors, kCut, kLines, kMost - 1>(t, i, rows, j, cols, from, depth,
                                                              ahead);
  }
  return outer_tile<S, kMost, kVectors, kCut, kLines>(t, i, j, cols, from, depth, ahead);
}

// Up to kOuterRows rows of the columns from j on, as many as kOuterVectors vectors hold. Lines come closer for whole ones.
template <class S, int kLines = 0>
void outer_block(const MatrixTile& t, std::int64_t i, std::int64_t rows, std::int64_t j,
                 std::int64_t from, std::int64_t depth, const char* ahead = nullptr) {
  constexpr std::int64_t kWide = kWidth<typename S::Sum>, kCols = kOuterVectors * kWide;
  const std::int64_t cols = std::min(kCols, t.n - j);
  if (cols == kCols) {
    outer_rows<S, kOuterVectors, false, kLines>(t, i, rows, j, cols, from, depth, ahead);
  } else if (cols > kWide) {
    outer_rows<S, kOuterVectors, true, 0>(t, i, rows, j, cols, from, depth);
  } else {
    outer_rows<S, 1, true, 0>(t, i, rows, j, cols, from, depth);
  }
}

// With few rows all that counts is how b comes from memory. A few of its rows at a time are read side by side from end to
// end, while the sums are in the first-level cache.
template <class S, int kRows, int kTogether>
void few_rows(const MatrixTile& t, std::int64_t from, bool adds) {
  using T = typename S::Sum;
  const auto* const a = static_cast<const typename S::A*>(t.a) + from * t.a_col;
  const auto* const b = static_cast<const typename S::B*>(t.b) + from * t.b_row;
  Vector<T> left[kTogether][kRows];
  for (int k = 0; k < kTogether; ++k) {
    for (int r = 0; r < kRows; ++r)
      left[k][r] = converted<T>(a[r * t.a_row + k * t.a_col]) - Vector<T>{};
  }
  std::int64_t j = 0;
  for (; j + kWidth<T> <= t.n; j += kWidth<T>) {
    T* const c = static_cast<T*>(t.c) + j;
    Vector<T> sums[kRows] = {};
    if (adds) {
      for (int r = 0; r < kRows; ++r) sums[r] = load(c + r * t.c_row);
    }
    for (int k = 0; k < kTogether; ++k) {
      const Vector<T> right = S::right(b + k * t.b_row + j);
      __builtin_prefetch(b + (k + kTogether) * t.b_row + j, 0, 2);
      for (int r = 0; r < kRows; ++r) sums[r] = multiply_add<T>(left[k][r], right, sums[r]);
    }
    for (int r = 0; r < kRows; ++r) *reinterpret_cast<Vector<T>*>(c + r * t.c_row) = sums[r];
  }
  for (; j < t.n; ++j) {
    for (int r = 0; r < kRows; ++r) {
      T* const c = static_cast<T*>(t.c) + r * t.c_row + j;
      T sum = adds ? *c : T{};
      for (int k = 0; k < kTogether; ++k)
        sum = __builtin_fma(left[k][r][0], converted<T>(b[k * t.b_row + j]), sum);
      *c = sum;
    }
  }
}

inline constexpr std::int64_t kFewRows = 4;

template <class S, int kRows>
void outer_few(const MatrixTile& t) {
  constexpr int kTogether = kRows <= 2 ? 8 : 4;
  std::int64_t k = 0;
  for (; k + kTogether <= t.k; k += kTogether) few_rows<S, kRows, kTogether>(t, k, k > 0 || t.adds);
  for (; k < t.k; ++k) few_rows<S, kRows, 1>(t, k, k > 0 || t.adds);
}

template <class S>
void outer(const MatrixTile& t) {
  if (t.m == 0) return;
  if (t.m <= kFewRows && t.k > 0) {
    switch (t.m) {
      case 1:
        return outer_few<S, 1>(t);
      case 2:
        return outer_few<S, 2>(t);
      case 3:
        return outer_few<S, 3>(t);
      default:
        return outer_few<S, 4>(t);
    }
  }
  constexpr std::int64_t kCols = kOuterVectors * kWidth<typename S::Sum>;
  const std::int64_t rows = even_block(t.m, kOuterRows);
  for (std::int64_t from = 0; from == 0 || from < t.k; from += kOuterDepth) {
    const std::int64_t depth = std::min(kOuterDepth, t.k - from);
    for (std::int64_t j = 0; j < t.n; j += kCols) {
      for (std::int64_t i = 0; i < t.m; i += rows)
        outer_block<S>(t, i, std::min(rows, t.m - i), j, from, depth);
    }
  }
}

/// For a left operand of a narrow type: a few rows are converted at a time, for all columns.
template <class S>
void outer_widening(const MatrixTile& t) {
  using Sum = typename S::Sum;
  const auto* const a = static_cast<const typename S::A*>(t.a);
  const auto* const b = static_cast<const typename S::B*>(t.b);
  Sum left[kOuterRows * kOuterDepth];
  for (std::int64_t from = 0; from == 0 || from < t.k; from += kOuterDepth) {
    const std::int64_t depth = std::min(kOuterDepth, t.k - from);
    for (std::int64_t i = 0; i < t.m; i += kOuterRows) {
      MatrixTile some = t;
      some.m = std::min<std::int64_t>(kOuterRows, t.m - i);
      some.k = depth;
      some.adds = from > 0 || t.adds;
      some.a = left;
      some.a_row = kOuterDepth;
      some.a_col = 1;
      some.b = b + from * t.b_row;
      some.c = static_cast<Sum*>(t.c) + i * t.c_row;
      for (std::int64_t r = 0; r < some.m; ++r) {
        const auto* const row = a + (i + r) * t.a_row + from * t.a_col;
        convert_row(row, t.a_col, depth, left + r * kOuterDepth);
      }
      outer<Converted<Sum, typename S::B, Sum>>(some);
    }
  }
}

}  // namespace dvm::cpu::matmul

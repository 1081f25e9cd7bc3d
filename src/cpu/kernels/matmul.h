// Matrix products on tiles that caches hold. Two forms, by how the operands lie: dot products of rows of a with columns of
// b where both are contiguous along k (a linear layer), and sums of outer products where b is contiguous along n. Neither
// copies an operand. Accumulators stay in registers over the whole of k, or over chunks of it that the first-level cache
// holds; chunks and lanes depend on the shape alone.
#pragma once

#include <algorithm>
#include <cstdint>

#include "cpu/kernels/lanes.h"
#include "cpu/matrix.h"
#ifdef __AVX2__
#include <immintrin.h>
#endif

namespace dvm::cpu::matmul {

template <class T>
using Vector = Lanes<T, DVM_VECTOR_BYTES>;
template <class T>
inline constexpr int kWidth = DVM_VECTOR_BYTES / static_cast<int>(sizeof(T));

// Registers of a tile: rows of the left operand, and vectors or columns of the right one.
// More than 8 rows of outer products leave g++ 12 without registers for their addresses, and it spills the sums.
#if DVM_VECTOR_BYTES == 64
inline constexpr int kDotRows = 6, kDotCols = 4, kOuterRows = 8, kOuterVectors = 2;
#elif DVM_VECTOR_BYTES == 32
inline constexpr int kDotRows = 3, kDotCols = 4, kOuterRows = 6, kOuterVectors = 2;
#else
inline constexpr int kDotRows = 3, kDotCols = 4, kOuterRows = 4, kOuterVectors = 2;
#endif

// Elements of k that are summed before the sums go to memory. Of dot products the columns that all rows meet then take 24
// KiB of the first-level cache; a column of outer products streams from the second.
inline constexpr std::int64_t kDotDepth = 1536;
inline constexpr std::int64_t kOuterDepth = 512;

template <class T>
inline __attribute__((always_inline)) Vector<T> load(const T* at) {
  return *reinterpret_cast<const Vector<T>*>(at);
}

// The first `count` elements, zeros beyond.
template <class T>
inline __attribute__((always_inline)) Vector<T> load_some(const T* at, std::int64_t count) {
#if DVM_VECTOR_BYTES == 64
  return load_some_lanes(at, count, Vector<T>{});
#else
  Vector<T> vector{};
  for (std::int64_t i = 0; i < count; ++i) vector[i] = at[i];
  return vector;
#endif
}

template <class T>
inline __attribute__((always_inline)) Vector<T> multiply_add(Vector<T> a, Vector<T> b,
                                                             Vector<T> c) {
#if DVM_VECTOR_BYTES == 64
  if constexpr (sizeof(T) == 4) {
    return reinterpret_cast<Vector<T>>(_mm512_fmadd_ps(
        reinterpret_cast<__m512>(a), reinterpret_cast<__m512>(b), reinterpret_cast<__m512>(c)));
  } else {
    return reinterpret_cast<Vector<T>>(_mm512_fmadd_pd(
        reinterpret_cast<__m512d>(a), reinterpret_cast<__m512d>(b), reinterpret_cast<__m512d>(c)));
  }
#elif DVM_VECTOR_BYTES == 32
  if constexpr (sizeof(T) == 4) {
    return reinterpret_cast<Vector<T>>(_mm256_fmadd_ps(
        reinterpret_cast<__m256>(a), reinterpret_cast<__m256>(b), reinterpret_cast<__m256>(c)));
  } else {
    return reinterpret_cast<Vector<T>>(_mm256_fmadd_pd(
        reinterpret_cast<__m256d>(a), reinterpret_cast<__m256d>(b), reinterpret_cast<__m256d>(c)));
  }
#else
  return a * b + c;
#endif
}

template <class T>
inline __attribute__((always_inline)) T total(Vector<T> vector) {
#if DVM_VECTOR_BYTES == 64
  if constexpr (sizeof(T) == 4) return _mm512_reduce_add_ps(reinterpret_cast<__m512>(vector));
  if constexpr (sizeof(T) == 8) return _mm512_reduce_add_pd(reinterpret_cast<__m512d>(vector));
#endif
  T sums[kWidth<T>];
  __builtin_memcpy(sums, &vector, sizeof(sums));
  for (int half = kWidth<T> / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) sums[i] += sums[i + half];
  }
  return sums[0];
}

// Writes the totals of kCols vectors, added to what is there unless the sums begin here.
template <class T, int kCols>
inline __attribute__((always_inline)) void store_totals(const Vector<T>* sums, T* at, bool begins) {
#if DVM_VECTOR_BYTES == 64
  if constexpr (sizeof(T) == 4 && kCols % 4 == 0) {
    for (int j = 0; j < kCols; j += 4) {
      __m256 half[4];
      for (int i = 0; i < 4; ++i) {
        const __m512 whole = reinterpret_cast<__m512>(sums[j + i]);
        half[i] = _mm256_add_ps(_mm512_castps512_ps256(whole), _mm512_extractf32x8_ps(whole, 1));
      }
      const __m256 pairs =
          _mm256_hadd_ps(_mm256_hadd_ps(half[0], half[1]), _mm256_hadd_ps(half[2], half[3]));
      __m128 four = _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps(pairs, 1));
      if (!begins) four = _mm_add_ps(four, _mm_loadu_ps(at + j));
      _mm_storeu_ps(at + j, four);
    }
    return;
  }
#endif
  for (int j = 0; j < kCols; ++j) at[j] = begins ? total<T>(sums[j]) : at[j] + total<T>(sums[j]);
}

template <class T, int kRows, int kCols>
void dot_tile(const MatrixTile& t, std::int64_t i, std::int64_t j, std::int64_t from,
              std::int64_t depth) {
  const T* const a = static_cast<const T*>(t.a) + i * t.a_row + from;
  const T* const b = static_cast<const T*>(t.b) + j * t.b_col + from;
  // The first rows bring the next columns closer: weights that come from memory are read once, in this order.
  const T* const next = b + (i == 0 ? kCols * t.b_col : 0);
  Vector<T> sums[kRows][kCols] = {};
  std::int64_t k = 0;
  for (; k + kWidth<T> <= depth; k += kWidth<T>) {
    Vector<T> right[kCols];
    for (int c = 0; c < kCols; ++c) {
      right[c] = load(b + c * t.b_col + k);
      __builtin_prefetch(next + c * t.b_col + k, 0, 2);
    }
    for (int r = 0; r < kRows; ++r) {
      const Vector<T> left = load(a + r * t.a_row + k);
      for (int c = 0; c < kCols; ++c) sums[r][c] = multiply_add<T>(left, right[c], sums[r][c]);
    }
  }
  if (k < depth) {
    Vector<T> right[kCols];
    for (int c = 0; c < kCols; ++c) right[c] = load_some(b + c * t.b_col + k, depth - k);
    for (int r = 0; r < kRows; ++r) {
      const Vector<T> left = load_some(a + r * t.a_row + k, depth - k);
      for (int c = 0; c < kCols; ++c) sums[r][c] = multiply_add<T>(left, right[c], sums[r][c]);
    }
  }
  T* const c = static_cast<T*>(t.c) + i * t.c_row + j;
  for (int r = 0; r < kRows; ++r)
    store_totals<T, kCols>(sums[r], c + r * t.c_row, from == 0 && !t.adds);
}

template <class T, int kCols>
void dot_rows(const MatrixTile& t, std::int64_t i, std::int64_t rows, std::int64_t j,
              std::int64_t from, std::int64_t depth) {
  switch (rows) {
    case 1:
      return dot_tile<T, 1, kCols>(t, i, j, from, depth);
    case 2:
      return dot_tile<T, 2, kCols>(t, i, j, from, depth);
    case 3:
      return dot_tile<T, 3, kCols>(t, i, j, from, depth);
#if DVM_VECTOR_BYTES == 64
    case 4:
      return dot_tile<T, 4, kCols>(t, i, j, from, depth);
    case 5:
      return dot_tile<T, 5, kCols>(t, i, j, from, depth);
    case 6:
      return dot_tile<T, 6, kCols>(t, i, j, from, depth);
#endif
    default:
      __builtin_unreachable();
  }
}

/// Rows in blocks of nearly equal height, so that no thin one is left at the end.
inline std::int64_t even_block(std::int64_t rows, std::int64_t most) {
  const std::int64_t blocks = (rows + most - 1) / most;
  return (rows + blocks - 1) / blocks;
}

template <class T>
void dot(const MatrixTile& t) {
  if (t.m == 0) return;
  const std::int64_t rows = even_block(t.m, kDotRows);
  for (std::int64_t from = 0; from == 0 || from < t.k; from += kDotDepth) {
    const std::int64_t depth = std::min(kDotDepth, t.k - from);
    std::int64_t j = 0;
    if (t.m <= 2) {  // few rows: more columns, for more loads on their way
      for (; j + 8 <= t.n; j += 8) dot_rows<T, 8>(t, 0, t.m, j, from, depth);
    }
    for (; j + kDotCols <= t.n; j += kDotCols) {
      for (std::int64_t i = 0; i < t.m; i += rows)
        dot_rows<T, kDotCols>(t, i, std::min(rows, t.m - i), j, from, depth);
    }
    for (; j < t.n; ++j) {
      for (std::int64_t i = 0; i < t.m; i += rows)
        dot_rows<T, 1>(t, i, std::min(rows, t.m - i), j, from, depth);
    }
  }
}

// `cols` columns of kVectors vectors, the last of which may be cut.
template <class T, int kRows, int kVectors, bool kCut>
void outer_tile(const MatrixTile& t, std::int64_t i, std::int64_t j, std::int64_t cols,
                std::int64_t from, std::int64_t depth) {
  const T* a = static_cast<const T*>(t.a) + i * t.a_row + from * t.a_col;
  const T* b = static_cast<const T*>(t.b) + j + from * t.b_row;
  T* const c = static_cast<T*>(t.c) + i * t.c_row + j;
  const std::int64_t last = cols - (kVectors - 1) * kWidth<T>;
  Vector<T> sums[kRows][kVectors] = {};
  for (std::int64_t k = 0; k < depth; ++k) {
    Vector<T> right[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      right[v] =
          kCut && v == kVectors - 1 ? load_some(b + v * kWidth<T>, last) : load(b + v * kWidth<T>);
    }
    for (int r = 0; r < kRows; ++r) {
      const Vector<T> left = a[r * t.a_row] - Vector<T>{};
      for (int v = 0; v < kVectors; ++v) sums[r][v] = multiply_add<T>(left, right[v], sums[r][v]);
    }
    a += t.a_col;
    b += t.b_row;
  }
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) {
      T* const at = c + r * t.c_row + v * kWidth<T>;
      const bool cut = kCut && v == kVectors - 1;
      if (from > 0 || t.adds) sums[r][v] += cut ? load_some(at, last) : load(at);
      if (!cut) {
        *reinterpret_cast<Vector<T>*>(at) = sums[r][v];
      } else {
        __builtin_memcpy(at, &sums[r][v], static_cast<std::size_t>(last) * sizeof(T));
      }
    }
  }
}

template <class T, int kVectors, bool kCut>
void outer_rows(const MatrixTile& t, std::int64_t i, std::int64_t rows, std::int64_t j,
                std::int64_t cols, std::int64_t from, std::int64_t depth) {
#define DVM_ROWS(n) \
  case n:           \
    return outer_tile<T, n, kVectors, kCut>(t, i, j, cols, from, depth);
  switch (rows) {
    DVM_ROWS(1)
    DVM_ROWS(2)
    DVM_ROWS(3)
    DVM_ROWS(4)
#if DVM_VECTOR_BYTES >= 32
    DVM_ROWS(5)
    DVM_ROWS(6)
#endif
#if DVM_VECTOR_BYTES == 64
    DVM_ROWS(7)
    DVM_ROWS(8)
#endif
    default:
      __builtin_unreachable();
  }
#undef DVM_ROWS
}

template <class T>
void outer(const MatrixTile& t) {
  if (t.m == 0) return;
  constexpr std::int64_t kCols = kOuterVectors * kWidth<T>;
  const std::int64_t rows = even_block(t.m, kOuterRows);
  for (std::int64_t from = 0; from == 0 || from < t.k; from += kOuterDepth) {
    const std::int64_t depth = std::min(kOuterDepth, t.k - from);
    for (std::int64_t j = 0; j < t.n; j += kCols) {
      const std::int64_t cols = std::min(kCols, t.n - j);
      for (std::int64_t i = 0; i < t.m; i += rows) {
        const std::int64_t height = std::min(rows, t.m - i);
        if (cols == kCols) {
          outer_rows<T, kOuterVectors, false>(t, i, height, j, cols, from, depth);
        } else if (cols > kWidth<T>) {
          outer_rows<T, kOuterVectors, true>(t, i, height, j, cols, from, depth);
        } else {
          outer_rows<T, 1, true>(t, i, height, j, cols, from, depth);
        }
      }
    }
  }
}

}  // namespace dvm::cpu::matmul

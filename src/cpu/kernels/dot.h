// Dot products of rows of a with columns of b, both contiguous along k: a linear layer. Accumulators stay in registers over
// the whole of k, or over chunks of it that the first-level cache holds; chunks and lanes depend on the shape alone.
#pragma once

#include <algorithm>

#include "cpu/kernels/operands.h"

namespace dvm::cpu::matmul {

inline constexpr int kDotCols = 4;
// Bytes of a column that are summed before the sums go to memory: the columns that all rows meet then take 24 KiB of the
// first-level cache.
inline constexpr std::int64_t kDotBytes = 6144;

template <class T>
inline __attribute__((always_inline)) T total(Vector<T> vector) {
#if DVM_VECTOR_BYTES == 64
  if constexpr (std::is_same_v<T, float>)
    return _mm512_reduce_add_ps(reinterpret_cast<__m512>(vector));
  if constexpr (std::is_same_v<T, double>)
    return _mm512_reduce_add_pd(reinterpret_cast<__m512d>(vector));
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
  if constexpr (std::is_same_v<T, float> && kCols % 4 == 0) {
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
  if constexpr (std::is_same_v<T, std::int32_t> && kCols % 4 == 0) {
    for (int j = 0; j < kCols; j += 4) {
      __m256i half[4];
      for (int i = 0; i < 4; ++i) {
        const auto whole = reinterpret_cast<__m512i>(sums[j + i]);
        half[i] =
            _mm256_add_epi32(_mm512_castsi512_si256(whole), _mm512_extracti32x8_epi32(whole, 1));
      }
      const __m256i pairs = _mm256_hadd_epi32(_mm256_hadd_epi32(half[0], half[1]),
                                              _mm256_hadd_epi32(half[2], half[3]));
      __m128i four =
          _mm_add_epi32(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
      auto* const to = reinterpret_cast<__m128i*>(at + j);
      if (!begins) four = _mm_add_epi32(four, _mm_loadu_si128(to));
      _mm_storeu_si128(to, four);
    }
    return;
  }
#endif
  for (int j = 0; j < kCols; ++j) at[j] = begins ? total<T>(sums[j]) : at[j] + total<T>(sums[j]);
}

template <class S, int kRows, int kCols>
void dot_tile(const MatrixTile& t, std::int64_t i, std::int64_t j, std::int64_t from,
              std::int64_t depth) {
  using Sum = typename S::Sum;
  const auto* const a = static_cast<const typename S::A*>(t.a) + i * t.a_row + from;
  const auto* const b = static_cast<const typename S::B*>(t.b) + j * t.b_col + from;
  // The first rows bring the next columns closer: weights that come from memory are read once, in this order.
  const auto* const next = b + (i == 0 ? kCols * t.b_col : 0);
  Vector<Sum> sums[kRows][kCols] = {};
  [[maybe_unused]] Vector<Sum> corrections[kCols] = {};
  std::int64_t k = 0;
  for (; k + S::kStep <= depth; k += S::kStep) {
    typename S::Right right[kCols];
    for (int c = 0; c < kCols; ++c) {
      right[c] = S::right(b + c * t.b_col + k);
      __builtin_prefetch(next + c * t.b_col + k, 0, 2);
      if constexpr (S::kCorrected) corrections[c] = S::correct(corrections[c], right[c]);
    }
    for (int r = 0; r < kRows; ++r) {
      const typename S::Left left = S::left(a + r * t.a_row + k);
      for (int c = 0; c < kCols; ++c) sums[r][c] = S::add(sums[r][c], left, right[c]);
    }
  }
  if (k < depth) {
    typename S::Right right[kCols];
    for (int c = 0; c < kCols; ++c) {
      right[c] = S::right(b + c * t.b_col + k, depth - k);
      if constexpr (S::kCorrected) corrections[c] = S::correct(corrections[c], right[c]);
    }
    for (int r = 0; r < kRows; ++r) {
      const typename S::Left left = S::left(a + r * t.a_row + k, depth - k);
      for (int c = 0; c < kCols; ++c) sums[r][c] = S::add(sums[r][c], left, right[c]);
    }
  }
  Sum* const result = static_cast<Sum*>(t.c) + i * t.c_row + j;
  for (int r = 0; r < kRows; ++r) {
    if constexpr (S::kCorrected) {
      for (int c = 0; c < kCols; ++c) sums[r][c] -= corrections[c];
    }
    store_totals<Sum, kCols>(sums[r], result + r * t.c_row, from == 0 && !t.adds);
  }
}

template <class S, int kCols, int kMost = S::kRows>
void dot_rows(const MatrixTile& t, std::int64_t i, std::int64_t rows, std::int64_t j,
              std::int64_t from, std::int64_t depth) {
  if constexpr (kMost > 1) {
    if (rows < kMost) return dot_rows<S, kCols, kMost - 1>(t, i, rows, j, from, depth);
  }
  return dot_tile<S, kMost, kCols>(t, i, j, from, depth);
}

/// Rows in blocks of nearly equal height, so that no thin one is left at the end.
inline std::int64_t even_block(std::int64_t rows, std::int64_t most) {
  const std::int64_t blocks = (rows + most - 1) / most;
  return (rows + blocks - 1) / blocks;
}

template <class S>
void dot(const MatrixTile& t) {
  if (t.m == 0) return;
  constexpr std::int64_t kDepth = kDotBytes / static_cast<std::int64_t>(sizeof(typename S::B));
  const std::int64_t rows = even_block(t.m, S::kRows);
  for (std::int64_t from = 0; from == 0 || from < t.k; from += kDepth) {
    const std::int64_t depth = std::min(kDepth, t.k - from);
    std::int64_t j = 0;
    if (t.m <= 2) {  // few rows: more columns, for more loads on their way
      for (; j + 8 <= t.n; j += 8) dot_rows<S, 8, 2>(t, 0, t.m, j, from, depth);
    }
    for (; j + kDotCols <= t.n; j += kDotCols) {
      for (std::int64_t i = 0; i < t.m; i += rows)
        dot_rows<S, kDotCols>(t, i, std::min(rows, t.m - i), j, from, depth);
    }
    for (; j < t.n; ++j) {
      for (std::int64_t i = 0; i < t.m; i += rows)
        dot_rows<S, 1>(t, i, std::min(rows, t.m - i), j, from, depth);
    }
  }
}

}  // namespace dvm::cpu::matmul

// Products with weights of few bits: bytes, or halves of bytes from which 8 is taken, times a scale that groups of them
// along k share. The left operand and the sums are f32. With few rows all that counts is how weights come from memory, and
// they are unpacked in registers; else columns are unpacked into the first-level cache, or into panels.
#pragma once

#include <algorithm>

#include "cpu/kernels/dot.h"
#include "cpu/kernels/transpose.h"

namespace dvm::cpu::matmul {

/// Signed bytes.
struct Bytes {
  static constexpr std::int64_t kPerByte = 1;
  static inline __attribute__((always_inline)) float one(const std::uint8_t* column,
                                                         std::int64_t k) {
    return static_cast<float>(static_cast<std::int8_t>(column[k]));
  }
  /// As many as a vector has, from k on.
  static inline __attribute__((always_inline)) Vector<float> many(const std::uint8_t* column,
                                                                  std::int64_t k) {
    return convert<float>(reinterpret_cast<const std::int8_t*>(column + k));
  }
};

/// Two to a byte, the first in its low half.
struct Halves {
  static constexpr std::int64_t kPerByte = 2;
  static inline __attribute__((always_inline)) float one(const std::uint8_t* column,
                                                         std::int64_t k) {
    return static_cast<float>((column[k / 2] >> (k % 2 * 4) & 15) - 8);
  }
  static inline __attribute__((always_inline)) Vector<float> many(const std::uint8_t* column,
                                                                  std::int64_t k) {
#if DVM_VECTOR_BYTES == 64
    const __m128i two = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(column + k / 2));
    const __m128i half = _mm_set1_epi8(15);
    const __m128i each =
        _mm_unpacklo_epi8(_mm_and_si128(two, half), _mm_and_si128(_mm_srli_epi16(two, 4), half));
    return reinterpret_cast<Vector<float>>(
        _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_sub_epi8(each, _mm_set1_epi8(8)))));
#else
    Vector<float> vector;
    for (int i = 0; i < kWidth<float>; ++i) vector[i] = one(column, k + i);
    return vector;
#endif
  }
};

/// Elements [from, from + depth) of column j, scaled.
template <class Ints>
void unpack_column(const Scales& scales, const std::uint8_t* column, std::int64_t j,
                   std::int64_t from, std::int64_t depth, float* to) {
  const std::int64_t end = from + depth;
  for (std::int64_t k = from; k < end;) {
    const std::int64_t group = k / scales.group, stop = std::min(end, (group + 1) * scales.group);
    const float scale = scales.at[group * scales.row + j * scales.col];
    // A vector of halves begins with a whole byte.
    for (; k < stop && k % Ints::kPerByte != 0; ++k) *to++ = Ints::one(column, k) * scale;
    for (; k + kWidth<float> <= stop; k += kWidth<float>, to += kWidth<float>)
      *reinterpret_cast<Vector<float>*>(to) = Ints::many(column, k) * scale;
    for (; k < stop; ++k) *to++ = Ints::one(column, k) * scale;
  }
}

template <class Ints>
void scaled_panel(const PanelTile& t) {
  constexpr std::int64_t kCols = 16, kDepth = 128;
  float columns[kCols * kDepth];
  for (std::int64_t j = 0; j < t.n; j += kCols) {
    const std::int64_t cols = std::min(kCols, t.n - j);
    for (std::int64_t k = 0; k < t.k; k += kDepth) {
      const std::int64_t depth = std::min(kDepth, t.k - k);
      for (std::int64_t c = 0; c < cols; ++c) {
        unpack_column<Ints>(t.scales, static_cast<const std::uint8_t*>(t.b) + (j + c) * t.b_col,
                            j + c, t.from + k, depth, columns + c * kDepth);
      }
      transpose(reinterpret_cast<std::uint32_t*>(static_cast<float*>(t.to) + k * t.to_row + j),
                t.to_row * 4, reinterpret_cast<const std::uint32_t*>(columns), kDepth * 4, depth,
                cols);
    }
  }
}

/// Of the elements from `first` along k on.
template <class Ints>
void unpacked_dot(const MatrixTile& t, std::int64_t first) {
  constexpr std::int64_t kCols = kDotCols, kDepth = 1024;
  float columns[kCols * kDepth];
  for (std::int64_t from = first; from == first || from < t.k; from += kDepth) {
    MatrixTile some = t;
    some.a = static_cast<const float*>(t.a) + from;
    some.b = columns;
    some.b_row = 1;
    some.b_col = kDepth;
    some.k = std::min(kDepth, t.k - from);
    some.adds = t.adds || from > 0;
    for (std::int64_t j = 0; j < t.n; j += kCols) {
      some.n = std::min(kCols, t.n - j);
      some.c = static_cast<float*>(t.c) + j;
      for (std::int64_t c = 0; c < some.n; ++c) {
        unpack_column<Ints>(t.scales, static_cast<const std::uint8_t*>(t.b) + (j + c) * t.b_col,
                            j + c, from, some.k, columns + c * kDepth);
      }
      dot<Converted<float, float, float>>(some);
    }
  }
}

#if DVM_VECTOR_BYTES == 64
// So many rows are few, and so many are taken together.
inline constexpr std::int64_t kScaledRows = 12;
inline constexpr int kScaledTogether = 4;

// Of `rows` rows: as many columns as there are registers for.
constexpr int scaled_cols(int rows) { return rows == 1 ? 8 : rows == 2 ? 4 : 2; }

// Columns [j, j + kCols) of bytes: the sums of a group, times its scale.
template <int kRows, int kCols>
void few_of_bytes(const MatrixTile& t, std::int64_t j) {
  const auto* const a = static_cast<const float*>(t.a);
  const auto* const b = static_cast<const std::int8_t*>(t.b) + j * t.b_col;
  const std::int64_t ahead = kCols * t.b_col;
  Vector<float> sums[kRows][kCols] = {};
  for (std::int64_t from = 0, group = 0; from < t.k; from += t.scales.group, ++group) {
    const std::int64_t end = std::min(t.k, from + t.scales.group);
    Vector<float> of_group[kRows][kCols] = {};
    std::int64_t k = from;
    for (; k + 16 <= end; k += 16) {
      Vector<float> right[kCols];
      for (int c = 0; c < kCols; ++c) right[c] = convert<float>(b + c * t.b_col + k);
      if (k % 64 == 0) {
        for (int c = 0; c < kCols; ++c) __builtin_prefetch(b + ahead + c * t.b_col + k, 0, 2);
      }
      for (int r = 0; r < kRows; ++r) {
        const Vector<float> left = load(a + r * t.a_row + k);
        for (int c = 0; c < kCols; ++c)
          of_group[r][c] = multiply_add<float>(left, right[c], of_group[r][c]);
      }
    }
    if (k < end) {
      for (int c = 0; c < kCols; ++c) {
        const Vector<float> right = convert_some<float>(b + c * t.b_col + k, end - k);
        for (int r = 0; r < kRows; ++r)
          of_group[r][c] =
              multiply_add<float>(load_some(a + r * t.a_row + k, end - k), right, of_group[r][c]);
      }
    }
    for (int c = 0; c < kCols; ++c) {
      const Vector<float> scale =
          t.scales.at[group * t.scales.row + (j + c) * t.scales.col] - Vector<float>{};
      for (int r = 0; r < kRows; ++r)
        sums[r][c] = multiply_add<float>(of_group[r][c], scale, sums[r][c]);
    }
  }
  auto* const result = static_cast<float*>(t.c) + j;
  for (int r = 0; r < kRows; ++r)
    store_totals<float, kCols>(sums[r], result + r * t.c_row, !t.adds);
}

// 64 bytes hold 128 halves. As 16 lanes of 8 halves each they are taken out by shifts and looked up as floats, first all that
// come first in their lanes; the left operand is brought into that order beforehand.
inline constexpr std::int64_t kHalves = 128;

inline void reorder(const float* from, std::int64_t depth, float* to) {
  const __m512i lanes =
      _mm512_setr_epi32(0, 8, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96, 104, 112, 120);
  for (std::int64_t k = 0; k < depth; k += kHalves) {
    for (int i = 0; i < 8; ++i)
      _mm512_storeu_ps(to + k + i * 16, _mm512_i32gather_ps(lanes, from + k + i, 4));
  }
}

// The scales of the 16 lanes of 128 halves from k on.
inline __attribute__((always_inline)) Vector<float> scales_of_lanes(const Scales& scales,
                                                                    std::int64_t j,
                                                                    std::int64_t k) {
  const float* const at = scales.at + k / scales.group * scales.row + j * scales.col;
  if (scales.group >= kHalves) return *at - Vector<float>{};
  float each[4];
  for (std::int64_t i = 0; i < 4; ++i) each[i] = at[i * 32 / scales.group * scales.row];
  const __m512i lanes = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
  return reinterpret_cast<Vector<float>>(
      _mm512_permutexvar_ps(lanes, _mm512_castps128_ps512(_mm_loadu_ps(each))));
}

template <int kRows, int kCols>
void few_of_halves(const MatrixTile& t, const float* reordered, std::int64_t row, std::int64_t j,
                   std::int64_t from, std::int64_t depth) {
  const auto* const b = static_cast<const std::uint8_t*>(t.b) + j * t.b_col;
  const __m512 values = _mm512_setr_ps(-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7);
  Vector<float> sums[kRows][kCols] = {};
  for (std::int64_t k = 0; k < depth; k += kHalves) {
    __m512i lanes[kCols];
    Vector<float> parts[kRows][kCols] = {};
    for (int c = 0; c < kCols; ++c) {
      const std::uint8_t* const at = b + c * t.b_col + (from + k) / 2;
      lanes[c] = _mm512_loadu_si512(at);
      __builtin_prefetch(at + kCols * t.b_col, 0, 2);
    }
    for (int i = 0; i < 8; ++i) {
      for (int c = 0; c < kCols; ++c) {
        // Only the low four bits of a lane are looked at.
        const auto right = reinterpret_cast<Vector<float>>(_mm512_permutexvar_ps(
            _mm512_srli_epi32(lanes[c], static_cast<unsigned>(i * 4)), values));
        for (int r = 0; r < kRows; ++r)
          parts[r][c] =
              multiply_add<float>(load(reordered + r * row + k + i * 16), right, parts[r][c]);
      }
    }
    for (int c = 0; c < kCols; ++c) {
      const Vector<float> scale = scales_of_lanes(t.scales, j + c, from + k);
      for (int r = 0; r < kRows; ++r)
        sums[r][c] = multiply_add<float>(parts[r][c], scale, sums[r][c]);
    }
  }
  auto* const result = static_cast<float*>(t.c) + j;
  for (int r = 0; r < kRows; ++r)
    store_totals<float, kCols>(sums[r], result + r * t.c_row, from == 0 && !t.adds);
}

// The columns in steps of kCols, then one by one.
template <int kCols, class Wide, class One>
void each_column(std::int64_t n, Wide wide, One one) {
  std::int64_t j = 0;
  for (; j + kCols <= n; j += kCols) wide(j);
  for (; j < n; ++j) one(j);
}

template <int kRows>
void few_rows_of_bytes(const MatrixTile& t) {
  constexpr int kCols = scaled_cols(kRows);
  each_column<kCols>(
      t.n, [&](std::int64_t j) { few_of_bytes<kRows, kCols>(t, j); },
      [&](std::int64_t j) { few_of_bytes<kRows, 1>(t, j); });
}

template <int kRows>
void few_rows_of_halves(const MatrixTile& t) {
  constexpr int kCols = scaled_cols(kRows) / 2;
  constexpr std::int64_t kDepth = 2048;
  float reordered[kRows * kDepth];
  const std::int64_t whole = t.k / kHalves * kHalves;
  for (std::int64_t from = 0; from < whole; from += kDepth) {
    const std::int64_t depth = std::min(kDepth, whole - from);
    for (int r = 0; r < kRows; ++r)
      reorder(static_cast<const float*>(t.a) + r * t.a_row + from, depth, reordered + r * kDepth);
    each_column<kCols>(
        t.n,
        [&](std::int64_t j) { few_of_halves<kRows, kCols>(t, reordered, kDepth, j, from, depth); },
        [&](std::int64_t j) { few_of_halves<kRows, 1>(t, reordered, kDepth, j, from, depth); });
  }
  if (whole < t.k || t.k == 0) unpacked_dot<Halves>(t, whole);
}

// Whether the lanes of 128 halves have a scale each.
inline bool scaled_by_lanes(const Scales& scales) {
  return scales.group % kHalves == 0 || scales.group == 64 || scales.group == 32;
}

// Calls `run` with the number of rows as a type, up to kMost.
template <int kMost, class Run>
void few_scaled_rows(const MatrixTile& t, Run run) {
  if constexpr (kMost > 1) {
    if (t.m < kMost) return few_scaled_rows<kMost - 1>(t, run);
  }
  run(std::integral_constant<int, kMost>(), t);
}
#endif

template <class Ints>
void scaled_dot(const MatrixTile& t) {
  if (t.m == 0) return;
#if DVM_VECTOR_BYTES == 64
  constexpr bool kBytes = Ints::kPerByte == 1;
  // Small groups of bytes cost more for their scales than unpacking costs.
  const std::int64_t most = kBytes && t.scales.group < 256 ? kScaledTogether : kScaledRows;
  if (t.m <= most && t.k > 0 && (kBytes || scaled_by_lanes(t.scales))) {
    const std::int64_t rows = even_block(t.m, kScaledTogether);
    for (std::int64_t i = 0; i < t.m; i += rows) {
      MatrixTile some = t;
      some.m = std::min(rows, t.m - i);
      some.a = static_cast<const float*>(t.a) + i * t.a_row;
      some.c = static_cast<float*>(t.c) + i * t.c_row;
      if constexpr (kBytes) {
        few_scaled_rows<kScaledTogether>(some, [](auto count, const MatrixTile& tile) {
          few_rows_of_bytes<decltype(count)::value>(tile);
        });
      } else {
        few_scaled_rows<kScaledTogether>(some, [](auto count, const MatrixTile& tile) {
          few_rows_of_halves<decltype(count)::value>(tile);
        });
      }
    }
    return;
  }
#endif
  unpacked_dot<Ints>(t, 0);
}

}  // namespace dvm::cpu::matmul

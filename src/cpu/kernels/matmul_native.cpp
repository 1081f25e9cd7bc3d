// Products by instructions that not every AVX-512 machine has: pairs of bf16 (AVX512_BF16) and fours of bytes (VNNI). They
// replace what matmul.cpp installs, on machines that have them.
#include <immintrin.h>

#include "cpu/kernels/install.h"
#include "cpu/kernels/outer.h"
#include "cpu/kernels/transpose.h"
#include "isa/product.h"

namespace dvm::cpu {
#if defined(__AVX512BF16__) && defined(__AVX512VNNI__)
namespace matmul {
namespace {

template <class T>
inline __attribute__((always_inline)) __m512i some_bytes(const T* at, std::int64_t count) {
  return _mm512_maskz_loadu_epi8(first_bytes(count * static_cast<std::int64_t>(sizeof(T))), at);
}

/// Pairs of bf16 along k, summed in f32.
struct BrainPairs {
  using A = bfloat16;
  using B = bfloat16;
  using Sum = float;
  static constexpr int kStep = 32;
  static constexpr int kRows = 6;
  static constexpr bool kCorrected = false;

  using Left = __m512i;
  using Right = __m512i;
  static inline __attribute__((always_inline)) Left left(const A* at) {
    return _mm512_loadu_si512(at);
  }
  static inline __attribute__((always_inline)) Left left(const A* at, std::int64_t count) {
    return some_bytes(at, count);
  }
  static inline __attribute__((always_inline)) Right right(const B* at) { return left(at); }
  static inline __attribute__((always_inline)) Right right(const B* at, std::int64_t count) {
    return left(at, count);
  }
  static inline __attribute__((always_inline)) Vector<float> add(Vector<float> sum, Left a,
                                                                 Right b) {
    return reinterpret_cast<Vector<float>>(_mm512_dpbf16_ps(reinterpret_cast<__m512>(sum),
                                                            reinterpret_cast<__m512bh>(a),
                                                            reinterpret_cast<__m512bh>(b)));
  }
};

/// Fours of bytes along k. The instruction wants the left ones unsigned: signed ones are moved up by 128, and 128 times
/// the right ones taken off again.
template <class A_>
struct ByteFours {
  using A = A_;
  using B = std::int8_t;
  using Sum = std::int32_t;
  static constexpr int kStep = 64;
  static constexpr bool kCorrected = std::is_signed_v<A>;
  static constexpr int kRows = kCorrected ? 5 : 6;

  using Left = __m512i;
  using Right = __m512i;
  static inline __attribute__((always_inline)) Left moved(__m512i bytes) {
    return kCorrected ? _mm512_xor_si512(bytes, _mm512_set1_epi8(-128)) : bytes;
  }
  static inline __attribute__((always_inline)) Left left(const A* at) {
    return moved(_mm512_loadu_si512(at));
  }
  static inline __attribute__((always_inline)) Left left(const A* at, std::int64_t count) {
    return moved(some_bytes(at, count));  // beyond the end the right ones are 0
  }
  static inline __attribute__((always_inline)) Right right(const B* at) {
    return _mm512_loadu_si512(at);
  }
  static inline __attribute__((always_inline)) Right right(const B* at, std::int64_t count) {
    return some_bytes(at, count);
  }
  static inline __attribute__((always_inline)) Vector<Sum> add(Vector<Sum> sum, Left a, Right b) {
    return reinterpret_cast<Vector<Sum>>(_mm512_dpbusd_epi32(reinterpret_cast<__m512i>(sum), a, b));
  }
  static inline __attribute__((always_inline)) Vector<Sum> correct(Vector<Sum> correction,
                                                                   Right b) {
    return add(correction, _mm512_set1_epi8(-128), b);
  }
};

// Panels of such groups: element (k, n) is what a 32-bit lane holds, two bf16 or four bytes along k, zeros beyond its end.
// Behind the last row stands what is to be taken off the sums, where the scheme corrects them.
template <class S>
struct Groups {
  static constexpr std::int64_t kSize = 4 / static_cast<std::int64_t>(sizeof(typename S::B));
  static std::int64_t count(std::int64_t k) { return (k + kSize - 1) / kSize; }
};

template <class S>
void grouped_panel(const PanelTile& t) {
  const auto* const b = static_cast<const typename S::B*>(t.b) + t.from;
  auto* const to = static_cast<std::uint32_t*>(t.to);
  const std::int64_t whole = t.k / Groups<S>::kSize, rest = t.k % Groups<S>::kSize;
  transpose(to, t.to_row * 4, reinterpret_cast<const std::uint32_t*>(b),
            t.b_col * static_cast<std::int64_t>(sizeof(typename S::B)), whole, t.n);
  if (rest > 0) {
    for (std::int64_t j = 0; j < t.n; ++j) {
      std::uint32_t last = 0;
      std::memcpy(&last, b + j * t.b_col + whole * Groups<S>::kSize,
                  static_cast<std::size_t>(rest) * sizeof(typename S::B));
      to[whole * t.to_row + j] = last;
    }
  }
  if constexpr (S::kCorrected) {
    const std::int64_t groups = Groups<S>::count(t.k);
    for (std::int64_t j = 0; j < t.n; j += 16) {
      const auto used = static_cast<__mmask16>(
          _bzhi_u32(0xffff, static_cast<unsigned>(std::min<std::int64_t>(16, t.n - j))));
      Vector<typename S::Sum> correction = {};
      for (std::int64_t k = 0; k < groups; ++k)
        correction = S::correct(correction, _mm512_maskz_loadu_epi32(used, to + k * t.to_row + j));
      _mm512_mask_storeu_epi32(to + groups * t.to_row + j, used,
                               reinterpret_cast<__m512i>(correction));
    }
  }
}

// One group of a row in every lane. By way of a float register: integers would go through a general one.
template <class S>
inline __attribute__((always_inline)) __m512i spread(const typename S::A* at) {
  float group;
  std::memcpy(&group, at, sizeof(group));
  return _mm512_castps_si512(_mm512_set1_ps(group));
}

// `corrects` says whether the row behind the last group of b is what is to be taken off. Lines come closer as in outer_tile.
template <class S, int kRows, int kVectors, bool kCut, int kLines>
void grouped_tile(const MatrixTile& t, std::int64_t i, std::int64_t j, std::int64_t cols,
                  [[maybe_unused]] bool corrects, const char* ahead) {
  using Sum = typename S::Sum;
  const auto* a = static_cast<const typename S::A*>(t.a) + i * t.a_row;
  const auto* b = static_cast<const std::uint32_t*>(t.b) + j;
  const auto used =
      static_cast<__mmask16>(_bzhi_u32(0xffff, static_cast<unsigned>(cols - (kVectors - 1) * 16)));
  const auto right_at = [&](int v) {
    return kCut && v == kVectors - 1 ? _mm512_maskz_loadu_epi32(used, b + v * 16)
                                     : _mm512_loadu_si512(b + v * 16);
  };
  Vector<Sum> sums[kRows][kVectors] = {};
  __m512i right[kVectors];
  for (std::int64_t k = 0; k + Groups<S>::kSize <= t.k; k += Groups<S>::kSize) {
    bring<kLines>(ahead);
    ahead += kLines * kLine;
    for (int v = 0; v < kVectors; ++v) right[v] = right_at(v);
    for (int r = 0; r < kRows; ++r) {
      const __m512i left = spread<S>(a + r * t.a_row);
      for (int v = 0; v < kVectors; ++v) sums[r][v] = S::add(sums[r][v], left, right[v]);
    }
    a += Groups<S>::kSize;
    b += t.b_row;
  }
  if (const std::int64_t rest = t.k % Groups<S>::kSize; rest > 0) {
    for (int v = 0; v < kVectors; ++v) right[v] = right_at(v);
    for (int r = 0; r < kRows; ++r) {
      typename S::A last[Groups<S>::kSize] = {};
      std::memcpy(last, a + r * t.a_row, static_cast<std::size_t>(rest) * sizeof(typename S::A));
      const __m512i left = spread<S>(last);
      for (int v = 0; v < kVectors; ++v) sums[r][v] = S::add(sums[r][v], left, right[v]);
    }
    b += t.b_row;
  }
  for (int v = 0; v < kVectors; ++v) {
    const __mmask16 mask = kCut && v == kVectors - 1 ? used : 0xffff;
    Vector<Sum> correction = {};
    if constexpr (S::kCorrected) {
      if (corrects) correction = reinterpret_cast<Vector<Sum>>(right_at(v));
    }
    for (int r = 0; r < kRows; ++r) {
      if constexpr (S::kCorrected) sums[r][v] -= correction;
      Sum* const at = static_cast<Sum*>(t.c) + (i + r) * t.c_row + j + v * 16;
      if (t.adds) sums[r][v] += reinterpret_cast<Vector<Sum>>(_mm512_maskz_loadu_epi32(mask, at));
      _mm512_mask_storeu_epi32(at, mask, reinterpret_cast<__m512i>(sums[r][v]));
    }
  }
}

template <class S, int kVectors, bool kCut, int kLines, int kMost = kOuterRows>
void grouped_rows(const MatrixTile& t, std::int64_t i, std::int64_t rows, std::int64_t j,
                  std::int64_t cols, bool corrects, const char* ahead) {
  if constexpr (kMost > 1) {
    if (rows < kMost)
      return grouped_rows<S, kVectors, kCut, kLines, kMost - 1>(t, i, rows, j, cols, corrects,
                                                                ahead);
  }
  return grouped_tile<S, kMost, kVectors, kCut, kLines>(t, i, j, cols, corrects, ahead);
}

// Up to kOuterRows rows, of which a scheme that moves its left operand is given moved ones.
template <class S, int kLines = 0>
void grouped_block(const MatrixTile& t, std::int64_t i, std::int64_t rows, std::int64_t j,
                   bool corrects = true, const char* ahead = nullptr) {
  const std::int64_t cols = std::min<std::int64_t>(32, t.n - j);
  if (cols == 32) {
    grouped_rows<S, 2, false, kLines>(t, i, rows, j, cols, corrects, ahead);
  } else if (cols > 16) {
    grouped_rows<S, 2, true, 0>(t, i, rows, j, cols, corrects, nullptr);
  } else {
    grouped_rows<S, 1, true, 0>(t, i, rows, j, cols, corrects, nullptr);
  }
}

// So many groups of a row are moved at a time. Rows begin in lines of the cache that do not push each other out.
constexpr std::int64_t kMovedGroups = kPanelDepth, kMovedRow = kMovedGroups * 4 + kLine;

// Up to kOuterRows rows of `t` as the scheme wants them: `moved` if it moves its left operand.
template <class S>
MatrixTile grouped_left(const MatrixTile& t, std::int64_t i, std::int64_t rows,
                        [[maybe_unused]] typename S::A* moved) {
  MatrixTile some = t;
  const auto* const a = static_cast<const typename S::A*>(t.a) + i * t.a_row;
  some.a = a;
  some.c = static_cast<typename S::Sum*>(t.c) + i * t.c_row;
  some.m = rows;
  if constexpr (S::kCorrected) {
    some.a = moved;
    some.a_row = kMovedRow;
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t k = 0; k < t.k; ++k)
        moved[r * kMovedRow + k] = static_cast<typename S::A>(a[r * t.a_row + k] ^ -128);
    }
  }
  return some;
}

template <class S>
using Moved = typename S::A[S::kCorrected ? kOuterRows * kMovedRow : 1];

/// b is a panel of groups; a is contiguous along k.
template <class S>
void outer_of_groups(const MatrixTile& t) {
  if (t.m == 0) return;
  const std::int64_t rows = even_block(t.m, kOuterRows);
  if constexpr (S::kCorrected) {
    Moved<S> moved;
    for (std::int64_t i = 0; i < t.m; i += rows) {
      const std::int64_t height = std::min(rows, t.m - i);
      const MatrixTile some = grouped_left<S>(t, i, height, moved);
      for (std::int64_t j = 0; j < t.n; j += 32) grouped_block<S>(some, 0, height, j);
    }
  } else {
    for (std::int64_t j = 0; j < t.n; j += 32) {
      for (std::int64_t i = 0; i < t.m; i += rows)
        grouped_block<S>(t, i, std::min(rows, t.m - i), j);
    }
  }
}

// As packed_piece of packed.h.
template <class S, int kLines>
void packed_groups_piece(const MatrixTile& piece, bool corrects, std::int64_t blocks) {
  const std::int64_t rows = even_block(piece.m, kOuterRows);
  const auto* ahead =
      static_cast<const char*>(piece.b) + Groups<S>::count(piece.k) * kPackedCols * std::int64_t{4};
  Moved<S> moved;
  for (std::int64_t i = 0; i < piece.m; i += rows) {
    const std::int64_t height = std::min(rows, piece.m - i);
    const MatrixTile some = grouped_left<S>(piece, i, height, moved);
    if (blocks-- > 0) {
      grouped_block<S, kLines>(some, 0, height, 0, corrects, ahead);
      ahead += Groups<S>::count(piece.k) * kLines * kLine;
    } else {
      grouped_block<S>(some, 0, height, 0, corrects);
    }
  }
}

/// b is the first of panels of groups, packed once; a is contiguous along k.
template <class S>
void packed_groups(const MatrixTile& t) {
  constexpr std::int64_t kRow = kPackedCols * 4;
  // Integers lose nothing by long sums.
  constexpr std::int64_t kDepth = std::is_integral_v<typename S::Sum> ? kMovedGroups : kOuterDepth;
  const std::int64_t panel_rows = Groups<S>::count(t.k) + 1;
  const std::int64_t piece = (t.m <= kOuterRows / 2 ? kMovedGroups : kDepth) * Groups<S>::kSize;
  MatrixTile some = t;
  some.b_row = kPackedCols;
  for (std::int64_t col = 0; col < t.n; col += kPackedCols) {
    some.c = static_cast<typename S::Sum*>(t.c) + col;
    some.n = std::min(kPackedCols, t.n - col);
    for (std::int64_t from = 0; from < t.k; from += piece) {
      some.a = static_cast<const typename S::A*>(t.a) + from;
      some.b = static_cast<const char*>(t.b) +
               (col / kPackedCols * panel_rows + from / Groups<S>::kSize) * kRow;
      some.k = std::min(piece, t.k - from);
      some.adds = from > 0 || t.adds;
      const bool last = from + piece >= t.k;
      if (t.m <= kOuterRows / 2) {
        packed_groups_piece<S, 0>(some, last, 0);
      } else if (t.m <= kOuterRows) {
        packed_groups_piece<S, 2>(some, last, 1);
      } else {
        packed_groups_piece<S, 1>(some, last, 2);
      }
    }
  }
}

// Rows k and k + 1 of b as groups. Within each 128 bits unpacking takes four columns of either half.
inline __attribute__((always_inline)) void pair(__m512i first, __m512i second, __m512i paired[2]) {
  const __m512i low = _mm512_unpacklo_epi16(first, second);   // columns 0-3 8-11 16-19 24-27
  const __m512i high = _mm512_unpackhi_epi16(first, second);  // columns 4-7 12-15 20-23 28-31
  const __m512i before = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
  const __m512i behind = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
  paired[0] = _mm512_permutex2var_epi64(low, before, high);
  paired[1] = _mm512_permutex2var_epi64(low, behind, high);
}

/// b is contiguous along n: pieces of it are turned into panels of groups, for all rows.
void outer_pairs(const MatrixTile& t) {
  if (t.a_col != 1 || t.m <= kFewRows)
    return outer_widening<Converted<bfloat16, bfloat16, float>>(t);
  constexpr std::int64_t kDepth = 2 * kOuterDepth;
  __m512i panel[kDepth];
  const auto* const b = static_cast<const bfloat16*>(t.b);
  for (std::int64_t from = 0; from == 0 || from < t.k; from += kDepth) {
    const std::int64_t depth = std::min(kDepth, t.k - from);
    for (std::int64_t j = 0; j < t.n; j += 32) {
      MatrixTile some = t;
      some.n = std::min<std::int64_t>(32, t.n - j);
      const auto used =
          static_cast<__mmask32>(_bzhi_u64(0xffffffff, static_cast<unsigned>(some.n)));
      for (std::int64_t k = 0; k < depth; k += 2) {
        const bfloat16* const row = b + (from + k) * t.b_row + j;
        pair(_mm512_maskz_loadu_epi16(used, row),
             k + 1 < depth ? _mm512_maskz_loadu_epi16(used, row + t.b_row) : _mm512_setzero_si512(),
             panel + k);
      }
      some.a = static_cast<const bfloat16*>(t.a) + from;
      some.b = panel;
      some.b_row = 32;
      some.c = static_cast<float*>(t.c) + j;
      some.k = depth;
      some.adds = from > 0 || t.adds;
      outer_of_groups<BrainPairs>(some);
    }
  }
}

template <class A>
constexpr MatrixKernels kFours = {.dot = dot<ByteFours<A>>,
                                  .panel = grouped_panel<ByteFours<A>>,
                                  .panel_group = 4,
                                  .outer_of_panel = outer_of_groups<ByteFours<A>>,
                                  .pack = grouped_panel<ByteFours<A>>,
                                  .packed = packed_groups<ByteFours<A>>};

}  // namespace
}  // namespace matmul

void install_matrix_native(KernelTable& table) {
  using namespace matmul;
  const auto of = [&](Type a, Type b) -> MatrixKernels& { return table.matrix[product_of(a, b)]; };
  if (__builtin_cpu_supports("avx512bf16"))
    of(Type::bf16, Type::bf16) = {.dot = dot<BrainPairs>,
                                  .outer = outer_pairs,
                                  .panel = grouped_panel<BrainPairs>,
                                  .panel_group = 2,
                                  .outer_of_panel = outer_of_groups<BrainPairs>,
                                  .pack = grouped_panel<BrainPairs>,
                                  .packed = packed_groups<BrainPairs>};
  if (__builtin_cpu_supports("avx512vnni")) {
    of(Type::i8, Type::i8) = kFours<std::int8_t>;
    of(Type::u8, Type::i8) = kFours<std::uint8_t>;
  }
}
#else
void install_matrix_native(KernelTable&) {}
#endif

}  // namespace dvm::cpu

// The loops of convolutions and pools over tensors whose channels lie side by side. Products are those of packed.h with
// a left operand that is read through one address for each row and tap.
#include "cpu/place_windows.h"

#include <algorithm>
#include <cstdint>
#include <limits>

#include "cpu/kernels/install.h"
#include "cpu/kernels/outer.h"

namespace dvm::cpu {
namespace {

using matmul::each;
using matmul::kLine;
using matmul::kOuterDepth;
using matmul::kOuterRows;
using matmul::kOuterVectors;
using FloatVector = matmul::Vector<float>;

constexpr int kVector = matmul::kWidth<float>;
constexpr std::int64_t kBlockCols = kOuterVectors * kVector;

inline __attribute__((always_inline)) void store_first(float* to, std::int64_t count,
                                                       const FloatVector& vector) {
#if DVM_VECTOR_BYTES == 64
  store_some_lanes(to, count, vector);
#else
  __builtin_memcpy(to, &vector, static_cast<std::size_t>(count) * sizeof(float));
#endif
}

// A piece of k, `depth` rows of b from `from` on, and the columns that a block of sums has of it.
struct Piece {
  const float* b;
  std::int64_t from, depth;
  std::int64_t col, cols;
};

// kRows rows from i on. Each step brings kLines lines closer, from `ahead` on.
template <int kRows, int kVectors, bool kCut, int kLines>
void block(const PlaceTile& t, const Piece& piece, std::int64_t i,
           [[maybe_unused]] const char* ahead) {
  FloatVector sums[kRows][kVectors];
  each<kRows * kVectors>([&](auto n) __attribute__((always_inline)) {
    sums[n / kVectors][n % kVectors] = FloatVector{};
  });
  const std::int64_t last = piece.cols - (kVectors - 1) * kVector, b_row = t.b_row;
  const float* b = piece.b;
  std::int64_t tap = piece.from / std::max<std::int64_t>(t.depth, 1);
  std::int64_t channel = piece.from - tap * t.depth;
  for (std::int64_t left = piece.depth; left > 0; ++tap, channel = 0) {
    const std::int64_t count = std::min(left, t.depth - channel);
    left -= count;
    const float* const* const rows = t.rows + tap * t.m + i;
    bool reads = false;
    for (int r = 0; r < kRows; ++r) reads |= rows[r] != t.nothing;
    if (!reads) {
      b += count * b_row;
      ahead += count * kLines * kLine;
      continue;
    }
    const float* a[kRows];
    each<kRows>([&](auto r) __attribute__((always_inline)) { a[r] = rows[r] + channel; });
    for (std::int64_t k = 0; k < count; ++k, b += b_row) {
      matmul::bring<kLines>(ahead);
      ahead += kLines * kLine;
      FloatVector right[kVectors];
      each<kVectors>([&](auto v) __attribute__((always_inline)) {
        right[v] = kCut && v == kVectors - 1 ? matmul::load_some(b + v * kVector, last)
                                             : matmul::load(b + v * kVector);
        // Else g++ 12 loads it again for every row.
        if constexpr (kRows > 1) asm("" : "+v"(right[v]));
      });
      each<kRows>([&](auto r) __attribute__((always_inline)) {
        const FloatVector here = a[r][k] - FloatVector{};
        each<kVectors>([&](auto v) __attribute__((always_inline)) {
          sums[r][v] = matmul::multiply_add<float>(here, right[v], sums[r][v]);
        });
      });
    }
  }
  float* const c = t.c + i * t.c_row + piece.col;
  each<kRows>([&](auto r) __attribute__((always_inline)) {
    each<kVectors>([&](auto v) __attribute__((always_inline)) {
      FloatVector sum = sums[r][v];
      float* const at = c + r * t.c_row + v * kVector;
      constexpr bool kPart = kCut && v == kVectors - 1;
      if (piece.from > 0) sum += kPart ? matmul::load_some(at, last) : matmul::load(at);
      if constexpr (kPart) {
        store_first(at, last, sum);
      } else {
        *reinterpret_cast<FloatVector*>(at) = sum;
      }
    });
  });
}

template <int kVectors, bool kCut, int kLines, int kMost = kOuterRows>
void blocks(const PlaceTile& t, const Piece& piece, std::int64_t i, std::int64_t rows,
            const char* ahead = nullptr) {
  if constexpr (kMost > 1) {
    if (rows < kMost) return blocks<kVectors, kCut, kLines, kMost - 1>(t, piece, i, rows, ahead);
  }
  return block<kMost, kVectors, kCut, kLines>(t, piece, i, ahead);
}

// All rows meet a piece of a panel in the first-level cache, and the first of them bring the next piece closer.
void piece_of_panel(const PlaceTile& t, const float* panel, std::int64_t col, std::int64_t from) {
  constexpr std::int64_t kRowLines = kPackedCols * static_cast<std::int64_t>(sizeof(float)) / kLine;
  const std::int64_t depth = std::min(kOuterDepth, t.taps * t.depth - from);
  const std::int64_t rows = matmul::even_block(t.m, kOuterRows);
  const auto* ahead = reinterpret_cast<const char*>(panel + (from + depth) * t.b_row);
  // Of rows that lie apart nothing is known to come next.
  std::int64_t brings = t.b_row == kPackedCols ? kRowLines : 0;
  const std::int64_t end = std::min(col + kPackedCols, t.n);
  for (; col < end; col += kBlockCols, panel += kBlockCols) {
    const Piece piece{panel + from * t.b_row, from, depth, col, std::min(kBlockCols, end - col)};
    for (std::int64_t i = 0; i < t.m; i += rows) {
      const std::int64_t height = std::min(rows, t.m - i);
      if (piece.cols <= kVector && piece.cols < kBlockCols) {
        blocks<1, true, 0>(t, piece, i, height);
      } else if (piece.cols < kBlockCols) {
        blocks<kOuterVectors, true, 0>(t, piece, i, height);
      } else if (brings > 0) {
        blocks<kOuterVectors, false, 1>(t, piece, i, height, ahead);
        ahead += depth * kLine;
        --brings;
      } else {
        blocks<kOuterVectors, false, 0>(t, piece, i, height);
      }
    }
  }
}

void places(const PlaceTile& t) {
  const float* panel = t.b;
  for (std::int64_t col = 0; col < t.n; col += kPackedCols, panel += t.b_panel) {
    for (std::int64_t from = 0; from == 0 || from < t.taps * t.depth; from += kOuterDepth)
      piece_of_panel(t, panel, col, from);
  }
}

// One NaN makes the result NaN.
inline __attribute__((always_inline)) FloatVector larger(const FloatVector& a,
                                                         const FloatVector& b) {
  return (a > b) | (a != a) ? a : b;
}

// `count` elements of kVectors vectors, of which the last may be cut, at kRows places.
template <WindowFold kFold, int kRows, int kVectors, bool kCut>
inline __attribute__((always_inline)) void fold(const ChannelTile& t, std::int64_t i,
                                                std::int64_t col, std::int64_t count) {
  constexpr float kStart =
      kFold == WindowFold::kMax ? -std::numeric_limits<float>::infinity() : 0.0f;
  const std::int64_t last = count - (kVectors - 1) * kVector;
  const auto vector = [&](const float* at, int v) __attribute__((always_inline)) {
    return kCut && v == kVectors - 1 ? matmul::load_some(at + v * kVector, last)
                                     : matmul::load(at + v * kVector);
  };
  FloatVector sums[kRows][kVectors];
  each<kRows * kVectors>([&](auto n) __attribute__((always_inline)) {
    sums[n / kVectors][n % kVectors] = kStart - FloatVector{};
  });
  const float* const* rows = t.rows + i;
  for (std::int64_t tap = 0; tap < t.taps; ++tap, rows += t.m) {
    [[maybe_unused]] FloatVector weight[kVectors];
    if constexpr (kFold == WindowFold::kWeighted) {
      each<kVectors>([&](auto v) __attribute__((always_inline)) {
        weight[v] = vector(t.weight + tap * t.weight_row + col, v);
      });
    }
    each<kRows * kVectors>([&](auto n) __attribute__((always_inline)) {
      constexpr int kRow = n / kVectors, kPart = n % kVectors;
      const FloatVector here = vector(rows[kRow] + col, kPart);
      FloatVector& sum = sums[kRow][kPart];
      if constexpr (kFold == WindowFold::kWeighted) {
        sum = matmul::multiply_add<float>(here, weight[kPart], sum);
      } else if constexpr (kFold == WindowFold::kSum) {
        sum += here;
      } else {
        sum = larger(here, sum);
      }
    });
  }
  each<kRows * kVectors>([&](auto n) __attribute__((always_inline)) {
    constexpr int kRow = n / kVectors, kPart = n % kVectors;
    store_first(t.c + (i + kRow) * t.c_row + col + kPart * kVector,
                kCut && kPart == kVectors - 1 ? last : kVector, sums[kRow][kPart]);
  });
}

template <WindowFold kFold, int kRows>
void fold_rows(const ChannelTile& t, std::int64_t i) {
  std::int64_t col = 0;
  for (; col + 2 * kVector <= t.n; col += 2 * kVector)
    fold<kFold, kRows, 2, false>(t, i, col, 2 * kVector);
  if (col + kVector <= t.n) {
    fold<kFold, kRows, 1, false>(t, i, col, kVector);
    col += kVector;
  }
  if (col < t.n) fold<kFold, kRows, 1, true>(t, i, col, t.n - col);
}

template <WindowFold kFold>
void fold_all(const ChannelTile& t) {
  std::int64_t i = 0;
  for (; i + 4 <= t.m; i += 4) fold_rows<kFold, 4>(t, i);
  for (; i < t.m; ++i) fold_rows<kFold, 1>(t, i);
}

void channels(const ChannelTile& t) {
  switch (t.fold) {
    case WindowFold::kWeighted:
      return fold_all<WindowFold::kWeighted>(t);
    case WindowFold::kSum:
      return fold_all<WindowFold::kSum>(t);
    case WindowFold::kMax:
      return fold_all<WindowFold::kMax>(t);
  }
}

}  // namespace

void install_place_windows(KernelTable& table) {
  table.windows.places = places;
  table.windows.channels = channels;
}

}  // namespace dvm::cpu

// Transposes of a rectangle: dst[i][j] = src[j][i], both with unit inner stride. Walks squares that keep every cache
// line they touch until all of it is used; 32-bit squares are turned in registers.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace dvm::cpu {

template <class T>
inline T* row_of(T* base, std::int64_t i, std::int64_t stride) {
  return reinterpret_cast<T*>(reinterpret_cast<std::uintptr_t>(base) +
                              static_cast<std::uintptr_t>(i * stride));
}

template <class T>
inline void transpose_scalar(T* dst, std::int64_t dst_stride, const T* src, std::int64_t src_stride,
                             std::int64_t outer, std::int64_t inner) {
  for (std::int64_t i = 0; i < outer; ++i) {
    T* const to = row_of(dst, i, dst_stride);
    // Elements may be groups of narrower ones, and lie where those may.
    for (std::int64_t j = 0; j < inner; ++j)
      std::memcpy(to + j, row_of(src, j, src_stride) + i, sizeof(T));
  }
}

using Lanes8 = std::uint32_t __attribute__((vector_size(32), aligned(4)));

inline void transpose_8x8(std::uint32_t* dst, std::int64_t dst_stride, const std::uint32_t* src,
                          std::int64_t src_stride) {
  Lanes8 r[8], t[8];
  for (int k = 0; k < 8; ++k) std::memcpy(&r[k], row_of(src, k, src_stride), sizeof(Lanes8));
  for (int k = 0; k < 8; k += 2) {
    t[k] = __builtin_shufflevector(r[k], r[k + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    t[k + 1] = __builtin_shufflevector(r[k], r[k + 1], 2, 10, 3, 11, 6, 14, 7, 15);
  }
  for (int k = 0; k < 8; k += 4) {
    r[k] = __builtin_shufflevector(t[k], t[k + 2], 0, 1, 8, 9, 4, 5, 12, 13);
    r[k + 1] = __builtin_shufflevector(t[k], t[k + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    r[k + 2] = __builtin_shufflevector(t[k + 1], t[k + 3], 0, 1, 8, 9, 4, 5, 12, 13);
    r[k + 3] = __builtin_shufflevector(t[k + 1], t[k + 3], 2, 3, 10, 11, 6, 7, 14, 15);
  }
  for (int k = 0; k < 4; ++k) {
    const Lanes8 low = __builtin_shufflevector(r[k], r[k + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    const Lanes8 high = __builtin_shufflevector(r[k], r[k + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    std::memcpy(row_of(dst, k, dst_stride), &low, sizeof(Lanes8));
    std::memcpy(row_of(dst, k + 4, dst_stride), &high, sizeof(Lanes8));
  }
}

template <class T>
void transpose(T* dst, std::int64_t dst_stride, const T* src, std::int64_t src_stride,
               std::int64_t outer, std::int64_t inner) {
  constexpr std::int64_t kSide = sizeof(T) == 4 ? 8 : 64 / static_cast<std::int64_t>(sizeof(T));
  for (std::int64_t j = 0; j < inner; j += kSide) {
    const std::int64_t width = std::min(kSide, inner - j);
    for (std::int64_t i = 0; i < outer; i += kSide) {
      const std::int64_t height = std::min(kSide, outer - i);
      T* const to = row_of(dst, i, dst_stride) + j;
      const T* const from = row_of(src, j, src_stride) + i;
      if constexpr (sizeof(T) == 4) {
        if (width == kSide && height == kSide) {
          transpose_8x8(to, dst_stride, from, src_stride);
          continue;
        }
      }
      transpose_scalar(to, dst_stride, from, src_stride, height, width);
    }
  }
}

}  // namespace dvm::cpu

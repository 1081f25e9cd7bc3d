// Explicit vectors for the loops that the compiler does not vectorise by itself. They are 64 bytes wide in every build
// (narrower machines use several registers for one), so that a sum has the same order, and the same bits, everywhere.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#ifdef __AVX512BW__
#include <immintrin.h>
#endif

namespace dvm::cpu {

inline constexpr int kLanesBytes = 64;

template <class T, int kBytes = kLanesBytes>
struct LanesOf {
  typedef T type __attribute__((vector_size(kBytes), aligned(sizeof(T)), may_alias));
};
template <class T, int kBytes = kLanesBytes>
using Lanes = typename LanesOf<T, kBytes>::type;

template <class T>
inline constexpr int kLanes = kLanesBytes / static_cast<int>(sizeof(T));

#ifdef __AVX512BW__
/// A mask of the first `count` bytes of a vector, however many or few they are.
inline __attribute__((always_inline)) __mmask64 first_bytes(std::int64_t count) {
  return count <= 0 ? 0
                    : _bzhi_u64(~std::uint64_t{0},
                                static_cast<unsigned>(std::min<std::int64_t>(count, 64)));
}

template <class Bits, class T>
inline __attribute__((always_inline)) Bits bits_of(const T& value) {
  Bits bits;
  static_assert(sizeof(Bits) == sizeof(T));
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}
#endif

template <class T>
inline __attribute__((always_inline)) Lanes<T> all_lanes(T value) {
  return value - Lanes<T>{};  // subtracting 0 keeps -0 and nan
}

template <class T>
inline __attribute__((always_inline)) Lanes<T> load_lanes(const T* at) {
  return *reinterpret_cast<const Lanes<T>*>(at);
}

template <class T>
inline __attribute__((always_inline)) void store_lanes(T* at, const Lanes<T>& lanes) {
  *reinterpret_cast<Lanes<T>*>(at) = lanes;
}

/// The first `count` lanes from memory, nothing beyond them being touched; the others from `rest`. 0 <= count <= kLanes.
template <class T>
inline __attribute__((always_inline)) Lanes<T> load_some_lanes(const T* at, std::int64_t count,
                                                               const Lanes<T>& rest) {
#ifdef __AVX512BW__
  const __mmask64 mask = first_bytes(count * static_cast<std::int64_t>(sizeof(T)));
  return reinterpret_cast<Lanes<T>>(
      _mm512_mask_loadu_epi8(reinterpret_cast<__m512i>(rest), mask, at));
#else
  Lanes<T> lanes = rest;
  std::memcpy(&lanes, at, static_cast<std::size_t>(count) * sizeof(T));
  return lanes;
#endif
}

/// The first `count` lanes of `lanes`, the others from `rest`. 0 <= count <= kLanes.
template <class T>
inline __attribute__((always_inline)) Lanes<T> keep_some_lanes(const Lanes<T>& lanes,
                                                               std::int64_t count,
                                                               const Lanes<T>& rest) {
#ifdef __AVX512BW__
  const __mmask64 mask = first_bytes(count * static_cast<std::int64_t>(sizeof(T)));
  return reinterpret_cast<Lanes<T>>(_mm512_mask_mov_epi8(reinterpret_cast<__m512i>(rest), mask,
                                                         reinterpret_cast<__m512i>(lanes)));
#else
  Lanes<T> kept = rest;
  std::memcpy(&kept, &lanes, static_cast<std::size_t>(count) * sizeof(T));
  return kept;
#endif
}

template <class T>
inline __attribute__((always_inline)) void store_some_lanes(T* at, std::int64_t count,
                                                            const Lanes<T>& lanes) {
#ifdef __AVX512BW__
  const __mmask64 mask = first_bytes(count * static_cast<std::int64_t>(sizeof(T)));
  _mm512_mask_storeu_epi8(at, mask, reinterpret_cast<__m512i>(lanes));
#else
  std::memcpy(at, &lanes, static_cast<std::size_t>(count) * sizeof(T));
#endif
}

/// Fills `padded` with `count` elements from memory and then with the last of them. 0 < count < kCount.
template <class T, std::int64_t kCount>
inline __attribute__((always_inline)) void load_padded(T* padded, const T* at, std::int64_t count) {
#ifdef __AVX512BW__
  if constexpr (kCount * sizeof(T) % 64 == 0) {
    __m512i last;
    if constexpr (sizeof(T) == 1) last = _mm512_set1_epi8(bits_of<std::int8_t>(at[count - 1]));
    if constexpr (sizeof(T) == 2) last = _mm512_set1_epi16(bits_of<std::int16_t>(at[count - 1]));
    if constexpr (sizeof(T) == 4) last = _mm512_set1_epi32(bits_of<std::int32_t>(at[count - 1]));
    if constexpr (sizeof(T) == 8) last = _mm512_set1_epi64(bits_of<std::int64_t>(at[count - 1]));
    std::int64_t left = count * static_cast<std::int64_t>(sizeof(T));
    for (std::size_t i = 0; i < kCount * sizeof(T); i += 64, left -= 64) {
      const __m512i lanes =
          _mm512_mask_loadu_epi8(last, first_bytes(left), reinterpret_cast<const char*>(at) + i);
      _mm512_storeu_si512(reinterpret_cast<char*>(padded) + i, lanes);
    }
    return;
  }
#endif
  const T last = at[count - 1];
  for (std::int64_t i = 0; i < kCount; ++i) padded[i] = last;
  std::memcpy(padded, at, static_cast<std::size_t>(count) * sizeof(T));
}

/// Copies the first `count` elements of `padded` to memory. 0 < count < kCount.
template <class T, std::int64_t kCount>
inline __attribute__((always_inline)) void store_padded(T* at, const T* padded,
                                                        std::int64_t count) {
#ifdef __AVX512BW__
  if constexpr (kCount * sizeof(T) % 64 == 0) {
    std::int64_t left = count * static_cast<std::int64_t>(sizeof(T));
    for (std::size_t i = 0; i < kCount * sizeof(T); i += 64, left -= 64) {
      _mm512_mask_storeu_epi8(reinterpret_cast<char*>(at) + i, first_bytes(left),
                              _mm512_loadu_si512(reinterpret_cast<const char*>(padded) + i));
    }
    return;
  }
#endif
  std::memcpy(at, padded, static_cast<std::size_t>(count) * sizeof(T));
}

/// Joins all lanes, halving them again and again. `Join` joins two values or two vectors of values.
template <class Join, class T, int kBytes>
inline __attribute__((always_inline)) T join_lanes(const Lanes<T, kBytes>& lanes) {
  if constexpr (kBytes == 2 * static_cast<int>(sizeof(T))) {
    return Join::join(lanes[0], lanes[1]);
  } else {
    Lanes<T, kBytes / 2> halves[2];
    std::memcpy(&halves, &lanes, kBytes);
    return join_lanes<Join, T, kBytes / 2>(Join::join(halves[0], halves[1]));
  }
}

}  // namespace dvm::cpu

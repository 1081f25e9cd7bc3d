// Explicit vectors for the loops that the compiler does not vectorise by itself. They are 64 bytes wide in every build
// (narrower machines use several registers for one), so that a sum has the same order, and the same bits, everywhere.
#pragma once

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

/// The first `count` lanes from memory, nothing beyond them being touched; the others from `rest`. 0 < count < kLanes.
template <class T>
inline __attribute__((always_inline)) Lanes<T> load_some_lanes(const T* at, std::int64_t count,
                                                               const Lanes<T>& rest) {
#ifdef __AVX512BW__
  const __mmask64 mask = (std::uint64_t{1} << (static_cast<std::uint64_t>(count) * sizeof(T))) - 1;
  return reinterpret_cast<Lanes<T>>(
      _mm512_mask_loadu_epi8(reinterpret_cast<__m512i>(rest), mask, at));
#else
  Lanes<T> lanes = rest;
  std::memcpy(&lanes, at, static_cast<std::size_t>(count) * sizeof(T));
  return lanes;
#endif
}

template <class T>
inline __attribute__((always_inline)) void store_some_lanes(T* at, std::int64_t count,
                                                            const Lanes<T>& lanes) {
#ifdef __AVX512BW__
  const __mmask64 mask = (std::uint64_t{1} << (static_cast<std::uint64_t>(count) * sizeof(T))) - 1;
  _mm512_mask_storeu_epi8(at, mask, reinterpret_cast<__m512i>(lanes));
#else
  std::memcpy(at, &lanes, static_cast<std::size_t>(count) * sizeof(T));
#endif
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

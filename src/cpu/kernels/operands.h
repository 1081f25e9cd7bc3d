// How the loops of matrix products take in their operands: vectors of converted elements, and one step of a sum. Each
// struct below is the scheme of some rows of isa/products.def; dot.h and outer.h are written over any of them.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "cpu/kernels/lanes.h"
#include "cpu/matrix.h"
#include "semantics/half.h"
#ifdef __SSE2__
#include <immintrin.h>
#endif

namespace dvm::cpu::matmul {

using semantics::bfloat16;
using semantics::float16;

template <class T>
using Vector = Lanes<T, DVM_VECTOR_BYTES>;
template <class T>
inline constexpr int kWidth = DVM_VECTOR_BYTES / static_cast<int>(sizeof(T));

template <class T>
inline __attribute__((always_inline)) Vector<T> load(const T* at) {
  return *reinterpret_cast<const Vector<T>*>(at);
}

/// The first `count` elements, zeros beyond.
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
  if constexpr (std::is_same_v<T, float>) {
    return reinterpret_cast<Vector<T>>(_mm512_fmadd_ps(
        reinterpret_cast<__m512>(a), reinterpret_cast<__m512>(b), reinterpret_cast<__m512>(c)));
  } else if constexpr (std::is_same_v<T, double>) {
    return reinterpret_cast<Vector<T>>(_mm512_fmadd_pd(
        reinterpret_cast<__m512d>(a), reinterpret_cast<__m512d>(b), reinterpret_cast<__m512d>(c)));
  }
#elif DVM_VECTOR_BYTES == 32
  if constexpr (std::is_same_v<T, float>) {
    return reinterpret_cast<Vector<T>>(_mm256_fmadd_ps(
        reinterpret_cast<__m256>(a), reinterpret_cast<__m256>(b), reinterpret_cast<__m256>(c)));
  } else if constexpr (std::is_same_v<T, double>) {
    return reinterpret_cast<Vector<T>>(_mm256_fmadd_pd(
        reinterpret_cast<__m256d>(a), reinterpret_cast<__m256d>(b), reinterpret_cast<__m256d>(c)));
  }
#endif
  return a * b + c;
}

/// One element in the type of a sum.
template <class To, class From>
inline __attribute__((always_inline)) To converted(From value) {
  if constexpr (std::is_same_v<From, bfloat16> || std::is_same_v<From, float16>) {
#ifdef __F16C__
    if constexpr (std::is_same_v<From, float16>) return _cvtsh_ss(value.bits);
#endif
    return semantics::widen(value);
  } else {
    return static_cast<To>(value);
  }
}

/// As many elements as a vector of `To` has, converted.
template <class To, class From>
inline __attribute__((always_inline)) Vector<To> convert(const From* at) {
  if constexpr (std::is_same_v<To, From>) {
    return load(at);
  } else {
#if DVM_VECTOR_BYTES == 64
    if constexpr (std::is_same_v<From, bfloat16>) {
      const __m512i wide =
          _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)));
      return reinterpret_cast<Vector<To>>(_mm512_slli_epi32(wide, 16));
    } else if constexpr (std::is_same_v<From, float16>) {
      return reinterpret_cast<Vector<To>>(
          _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at))));
    } else if constexpr (std::is_same_v<From, std::int8_t> && std::is_same_v<To, float>) {
      return reinterpret_cast<Vector<To>>(_mm512_cvtepi32_ps(
          _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)))));
    }
#elif DVM_VECTOR_BYTES == 32
    if constexpr (std::is_same_v<From, bfloat16>) {
      const __m256i wide =
          _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
      return reinterpret_cast<Vector<To>>(_mm256_slli_epi32(wide, 16));
    } else if constexpr (std::is_same_v<From, float16>) {
      return reinterpret_cast<Vector<To>>(
          _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at))));
    } else if constexpr (std::is_same_v<From, std::int8_t> && std::is_same_v<To, float>) {
      return reinterpret_cast<Vector<To>>(_mm256_cvtepi32_ps(
          _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(at)))));
    }
#endif
    Vector<To> vector;
    for (int i = 0; i < kWidth<To>; ++i) vector[i] = converted<To>(at[i]);
    return vector;
  }
}

/// The first `count` of them, zeros beyond.
template <class To, class From>
inline __attribute__((always_inline)) Vector<To> convert_some(const From* at, std::int64_t count) {
  if constexpr (std::is_same_v<To, From>) {
    return load_some(at, count);
  } else {
    From padded[kWidth<To>] = {};
    std::memcpy(padded, at, static_cast<std::size_t>(count) * sizeof(From));
    return convert<To>(padded);
  }
}

template <class To, class From>
inline void convert_row(const From* from, std::int64_t stride, std::int64_t count, To* to) {
  std::int64_t i = 0;
  if (stride == 1) {
    for (; i + kWidth<To> <= count; i += kWidth<To>)
      *reinterpret_cast<Vector<To>*>(to + i) = convert<To>(from + i);
  }
  for (; i < count; ++i) to[i] = converted<To>(from[i * stride]);
}

/// Elements of any types that convert to that of the sum, which is a float.
template <class A_, class B_, class Sum_>
struct Converted {
  using A = A_;
  using B = B_;
  using Sum = Sum_;
  static constexpr int kStep = kWidth<Sum>;  // elements of k that a step takes
#if DVM_VECTOR_BYTES == 64
  static constexpr int kRows = 6;
#else
  static constexpr int kRows = 3;
#endif
  static constexpr bool kCorrected = false;

  using Left = Vector<Sum>;
  using Right = Vector<Sum>;
  static inline __attribute__((always_inline)) Left left(const A* at) { return convert<Sum>(at); }
  static inline __attribute__((always_inline)) Left left(const A* at, std::int64_t count) {
    return convert_some<Sum>(at, count);
  }
  static inline __attribute__((always_inline)) Right right(const B* at) { return convert<Sum>(at); }
  static inline __attribute__((always_inline)) Right right(const B* at, std::int64_t count) {
    return convert_some<Sum>(at, count);
  }
  static inline __attribute__((always_inline)) Vector<Sum> add(Vector<Sum> sum, Left a, Right b) {
    return multiply_add<Sum>(a, b, sum);
  }
};

/// Bytes, widened to 16 bits and multiplied by pairs.
template <class A_>
struct BytePairs {
  using A = A_;
  using B = std::int8_t;
  using Sum = std::int32_t;
  static constexpr int kStep = kWidth<std::int16_t>;
#if DVM_VECTOR_BYTES == 64
  static constexpr int kRows = 6;
#else
  static constexpr int kRows = 3;
#endif
  static constexpr bool kCorrected = false;

  using Left = Vector<std::int16_t>;
  using Right = Vector<std::int16_t>;

  template <class T>
  static inline __attribute__((always_inline)) Vector<std::int16_t> widened(const T* at) {
#if DVM_VECTOR_BYTES == 64
    const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
    return reinterpret_cast<Left>(std::is_signed_v<T> ? _mm512_cvtepi8_epi16(bytes)
                                                      : _mm512_cvtepu8_epi16(bytes));
#elif DVM_VECTOR_BYTES == 32
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    return reinterpret_cast<Left>(std::is_signed_v<T> ? _mm256_cvtepi8_epi16(bytes)
                                                      : _mm256_cvtepu8_epi16(bytes));
#else
    Left vector;
    for (int i = 0; i < kStep; ++i)
      vector[i] = at[i];  // NOLINT(bugprone-signed-char-misuse): bytes are numbers here
    return vector;
#endif
  }
  template <class T>
  static inline __attribute__((always_inline)) Vector<std::int16_t> widened(const T* at,
                                                                            std::int64_t count) {
    T padded[kStep] = {};
    std::memcpy(padded, at, static_cast<std::size_t>(count));
    return widened(padded);
  }
  static inline __attribute__((always_inline)) Left left(const A* at) { return widened(at); }
  static inline __attribute__((always_inline)) Left left(const A* at, std::int64_t count) {
    return widened(at, count);
  }
  static inline __attribute__((always_inline)) Right right(const B* at) { return widened(at); }
  static inline __attribute__((always_inline)) Right right(const B* at, std::int64_t count) {
    return widened(at, count);
  }
  static inline __attribute__((always_inline)) Vector<Sum> add(Vector<Sum> sum, Left a, Right b) {
#if DVM_VECTOR_BYTES == 64
    return reinterpret_cast<Vector<Sum>>(_mm512_add_epi32(
        reinterpret_cast<__m512i>(sum),
        _mm512_madd_epi16(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b))));
#elif DVM_VECTOR_BYTES == 32
    return reinterpret_cast<Vector<Sum>>(_mm256_add_epi32(
        reinterpret_cast<__m256i>(sum),
        _mm256_madd_epi16(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b))));
#else
    return reinterpret_cast<Vector<Sum>>(
        _mm_add_epi32(reinterpret_cast<__m128i>(sum),
                      _mm_madd_epi16(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(b))));
#endif
  }
};

}  // namespace dvm::cpu::matmul

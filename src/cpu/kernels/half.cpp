// f16 <-> f32 by the machine's own instructions, where it has them. They round as the functors do; the compiler does
// not find them by itself.
#include <immintrin.h>

#include <cstring>

#include "cpu/kernels/install.h"
#include "cpu/kernels/lanes.h"

namespace dvm::cpu {
#ifdef __F16C__
namespace {

constexpr std::int64_t kEight = 8;

void eight_to_f16(std::uint16_t* dst, const float* a) {
  const __m128i halves = _mm256_cvtps_ph(_mm256_loadu_ps(a), _MM_FROUND_TO_NEAREST_INT);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(dst), halves);
}

void eight_to_f32(float* dst, const std::uint16_t* a) {
  const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(a));
  _mm256_storeu_ps(dst, _mm256_cvtph_ps(halves));
}

#ifdef __AVX512F__
constexpr std::int64_t kMany = 16;

void many(std::uint16_t* dst, const float* a) {
  const __m256i halves =
      _mm512_maskz_cvtps_ph(0xffff, _mm512_loadu_ps(a), _MM_FROUND_TO_NEAREST_INT);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(dst), halves);
}

void many(float* dst, const std::uint16_t* a) {
  const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a));
  _mm512_storeu_ps(dst, _mm512_maskz_cvtph_ps(0xffff, halves));
}
#else
constexpr std::int64_t kMany = kEight;
void many(std::uint16_t* dst, const float* a) { eight_to_f16(dst, a); }
void many(float* dst, const std::uint16_t* a) { eight_to_f32(dst, a); }
#endif

void eight(std::uint16_t* dst, const float* a) { eight_to_f16(dst, a); }
void eight(float* dst, const std::uint16_t* a) { eight_to_f32(dst, a); }

template <class R, class T>
void convert_row(R* dst, const T* a, std::int64_t count) {
  std::int64_t i = 0;
  for (; i + kMany <= count; i += kMany) many(dst + i, a + i);
  for (; i + kEight <= count; i += kEight) eight(dst + i, a + i);
  if (i == count) return;
  T values[kEight] = {};
  R results[kEight];
  std::memcpy(values, a + i, static_cast<std::size_t>(count - i) * sizeof(T));
  eight(results, values);
  std::memcpy(dst + i, results, static_cast<std::size_t>(count - i) * sizeof(R));
}

template <class R, class T>
void convert(const Step& step, Data data) {
  std::uintptr_t dst = data[step.slots[0]], a = data[step.slots[1]];
  for (std::int64_t i = 0; i < step.outer; ++i) {
    convert_row(reinterpret_cast<R*>(dst), reinterpret_cast<const T*>(a), step.inner);
    dst += static_cast<std::uintptr_t>(step.outer_stride[0]);
    a += static_cast<std::uintptr_t>(step.outer_stride[1]);
  }
}

}  // namespace

void install_half(KernelTable& table) {
  table.kernels[opcode(Op::to_f16, Type::f32)][0] = convert<std::uint16_t, float>;
  table.kernels[opcode(Op::to_f32, Type::f16)][0] = convert<float, std::uint16_t>;
}
#else
void install_half(KernelTable&) {}
#endif

}  // namespace dvm::cpu

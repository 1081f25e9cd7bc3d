// float16 and bfloat16: how they lie in memory and their exact conversions to and from float. Plain integer
// arithmetic, so that loops over them vectorise on every machine; conversions to the narrow types round to the
// nearest value, ties to even, keep infinities and denormals, and turn any nan into a quiet one.
#pragma once

#include "semantics/scalar.h"

namespace dvm::semantics {

struct float16 {
  std::uint16_t bits;
};
struct bfloat16 {
  std::uint16_t bits;
};

DVM_HD float widen(bfloat16 a) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(a.bits) << 16);
}

DVM_HD bfloat16 narrow_bfloat16(float a) {
  const std::uint32_t word = std::bit_cast<std::uint32_t>(a);
  const std::uint32_t rounded = (word + 0x7fffu + ((word >> 16) & 1u)) >> 16;
  const std::uint32_t quiet = (word >> 16) | 0x40u;
  return {static_cast<std::uint16_t>((word & 0x7fffffffu) > 0x7f800000u ? quiet : rounded)};
}

DVM_HD float widen(float16 a) {
  const std::uint32_t word = a.bits;
  // With the exponent in place a finite number is 2**112 too small, denormals included.
  const std::uint32_t shifted = (word & 0x7fffu) << 13;
  const float scaled = std::bit_cast<float>(shifted) * std::bit_cast<float>(0x77800000u);
  const std::uint32_t special = shifted | 0x7f800000u;  // inf and nan
  const std::uint32_t magnitude =
      shifted >= 0x0f800000u ? special : std::bit_cast<std::uint32_t>(scaled);
  return std::bit_cast<float>(magnitude | ((word & 0x8000u) << 16));
}

DVM_HD float16 narrow_float16(float a) {
  const std::uint32_t word = std::bit_cast<std::uint32_t>(a);
  const std::uint32_t magnitude = word & 0x7fffffffu;
  // Normal results: rebias the exponent and round away 13 bits; a carry out of 65504 gives inf by itself.
  const std::uint32_t normal = (magnitude - (112u << 23) + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
  // Denormal results: adding 0.5 puts the last bit that f16 keeps at the end of the float and rounds there.
  const float aligned = std::bit_cast<float>(magnitude) + 0.5f;
  const std::uint32_t denormal = std::bit_cast<std::uint32_t>(aligned) - 0x3f000000u;
  const std::uint32_t finite = magnitude < 0x38800000u ? denormal : normal;
  const std::uint32_t overflow = magnitude > 0x7f800000u ? 0x7e00u : 0x7c00u;
  const std::uint32_t result = magnitude >= 0x47800000u ? overflow : finite;
  return {static_cast<std::uint16_t>(result | ((word >> 16) & 0x8000u))};
}

}  // namespace dvm::semantics

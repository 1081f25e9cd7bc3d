// Copies a rectangle of elements between any two layouts: what load and store do, and what `expand` does for others.
#pragma once

#include <cstdint>

namespace dvm::cpu {

struct Place {
  std::uintptr_t at;
  std::int64_t outer_stride;  // bytes
  std::int64_t inner_stride;  // bytes
};

/// dst[i][j] = src[i][j]. `dst` has a place of its own for every element.
void copy(Place dst, Place src, std::int64_t outer, std::int64_t inner, int element_bytes);

}  // namespace dvm::cpu

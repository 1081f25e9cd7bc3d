#include "cpu/kernels/copy.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "cpu/kernels/lanes.h"
#include "cpu/kernels/transpose.h"

namespace dvm::cpu {
namespace {

template <class T>
T* pointer(std::uintptr_t at) {
  return reinterpret_cast<T*>(at);
}

std::uintptr_t moved(std::uintptr_t at, std::int64_t bytes) {
  return at + static_cast<std::uintptr_t>(bytes);
}

// A row of known small length costs no call.
template <class T>
inline void copy_row(T* dst, const T* src, std::int64_t count) {
  if (count * static_cast<std::int64_t>(sizeof(T)) >= 128) {
    std::memcpy(dst, src, static_cast<std::size_t>(count) * sizeof(T));
    return;
  }
#pragma GCC ivdep
  for (std::int64_t j = 0; j < count; ++j) dst[j] = src[j];
}

// One source row for every destination row, those being adjacent: write it once, then double what is there.
template <class T>
void repeat_row(T* dst, const T* src, std::int64_t outer, std::int64_t inner) {
  const std::int64_t count = outer * inner;
  if (count == 0) return;
  copy_row(dst, src, inner);
  for (std::int64_t done = inner; done < count;) {
    const std::int64_t more = std::min(done, count - done);
    std::memcpy(dst + done, dst, static_cast<std::size_t>(more) * sizeof(T));
    done += more;
  }
}

// Short adjacent rows are written as whole vectors, the next row over what is too much of the last one; only rows near
// the end are written exactly.
template <class T>
void fill_short_rows(T* dst, Place src, std::int64_t outer, std::int64_t inner) {
  const std::int64_t vectors = (inner + kLanes<T> - 1) / kLanes<T>;
  const std::int64_t last = outer * inner - vectors * kLanes<T>;
  const std::int64_t exact = last < 0 ? 0 : std::min(outer, last / inner + 1);
  const auto fill = [&](auto count) {
    for (std::int64_t i = 0; i < exact; ++i) {
      const Lanes<T> value = all_lanes(*pointer<const T>(moved(src.at, i * src.outer_stride)));
      for (std::int64_t k = 0; k < count; ++k) store_lanes(dst + i * inner + k * kLanes<T>, value);
    }
  };
  if (vectors == 1) {
    fill(std::integral_constant<std::int64_t, 1>());
  } else if (vectors == 2) {
    fill(std::integral_constant<std::int64_t, 2>());
  } else {
    fill(vectors);
  }
  std::int64_t i = exact;
  for (; i < outer; ++i) {
    const T value = *pointer<const T>(moved(src.at, i * src.outer_stride));
    for (std::int64_t j = 0; j < inner; ++j) dst[i * inner + j] = value;
  }
}

template <class T>
void fill_rows(Place dst, Place src, std::int64_t outer, std::int64_t inner) {
  if (outer > 1 && inner <= 8 * kLanes<T> &&
      dst.outer_stride == inner * static_cast<std::int64_t>(sizeof(T))) {
    return fill_short_rows(pointer<T>(dst.at), src, outer, inner);
  }
  for (std::int64_t i = 0; i < outer; ++i) {
    const T value = *pointer<const T>(moved(src.at, i * src.outer_stride));
    T* const to = pointer<T>(moved(dst.at, i * dst.outer_stride));
    for (std::int64_t j = 0; j < inner; ++j) to[j] = value;
  }
}

template <class T>
void copy_strided(Place dst, Place src, std::int64_t outer, std::int64_t inner) {
  for (std::int64_t i = 0; i < outer; ++i) {
    std::uintptr_t to = moved(dst.at, i * dst.outer_stride);
    std::uintptr_t from = moved(src.at, i * src.outer_stride);
    for (std::int64_t j = 0; j < inner; ++j) {
      *pointer<T>(to) = *pointer<const T>(from);
      to = moved(to, dst.inner_stride);
      from = moved(from, src.inner_stride);
    }
  }
}

template <class T>
void copy_elements(Place dst, Place src, std::int64_t outer, std::int64_t inner) {
  constexpr std::int64_t kSize = sizeof(T);
  if (inner == 1 && outer > 1) {  // one column is one row
    inner = outer;
    outer = 1;
    dst.inner_stride = dst.outer_stride;
    src.inner_stride = src.outer_stride;
  }
  if (inner <= 0 || outer <= 0) return;
  if (inner == 1) return void(*pointer<T>(dst.at) = *pointer<const T>(src.at));
  if (dst.inner_stride == kSize && src.inner_stride == kSize) {
    const std::int64_t row = inner * kSize;
    if (outer == 1 || (dst.outer_stride == row && src.outer_stride == row)) {
      std::memmove(pointer<T>(dst.at), pointer<const T>(src.at),
                   static_cast<std::size_t>(outer * row));
      return;
    }
    if (src.outer_stride == 0 && dst.outer_stride == row) {
      return repeat_row(pointer<T>(dst.at), pointer<const T>(src.at), outer, inner);
    }
    for (std::int64_t i = 0; i < outer; ++i) {
      copy_row(pointer<T>(moved(dst.at, i * dst.outer_stride)),
               pointer<const T>(moved(src.at, i * src.outer_stride)), inner);
    }
    return;
  }
  if (src.inner_stride == 0 && dst.inner_stride == kSize)
    return fill_rows<T>(dst, src, outer, inner);
  if (outer > 1 && dst.inner_stride == kSize && src.outer_stride == kSize) {
    return transpose(pointer<T>(dst.at), dst.outer_stride, pointer<const T>(src.at),
                     src.inner_stride, outer, inner);
  }
  if (outer > 1 && dst.outer_stride == kSize && src.inner_stride == kSize) {
    return transpose(pointer<T>(dst.at), dst.inner_stride, pointer<const T>(src.at),
                     src.outer_stride, inner, outer);
  }
  copy_strided<T>(dst, src, outer, inner);
}

}  // namespace

void copy(Place dst, Place src, std::int64_t outer, std::int64_t inner, int element_bytes) {
  switch (element_bytes) {
    case 1:
      return copy_elements<std::uint8_t>(dst, src, outer, inner);
    case 2:
      return copy_elements<std::uint16_t>(dst, src, outer, inner);
    case 4:
      return copy_elements<std::uint32_t>(dst, src, outer, inner);
    default:
      return copy_elements<std::uint64_t>(dst, src, outer, inner);
  }
}

}  // namespace dvm::cpu

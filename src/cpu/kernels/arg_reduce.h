// argmax and argmin of a tile.
#pragma once

#include <cstdint>
#include <type_traits>

#include "cpu/kernels/reduce.h"

namespace dvm::cpu {

// Of equal elements the one with the smaller index wins, in whatever order they come.
template <class T, bool kSmallest>
struct Champion {
  static bool beats(T a, T b) {  // a before b, by value
    if constexpr (std::is_floating_point_v<T>) {
      if (b != b) return false;
      if (a != a) return true;
    }
    return kSmallest ? a < b : a > b;
  }
  static bool ties(T a, T b) {
    if constexpr (std::is_floating_point_v<T>) return a == b || (a != a && b != b);
    return a == b;
  }
  static void challenge(std::int64_t& index, T& best, T value, std::int64_t at) {
    if (beats(value, best)) {
      best = value;
      index = at;
    } else if (at < index && ties(value, best)) {
      index = at;
    }
  }
};

template <class T, bool kSmallest>
std::int64_t find_first(const T* a, std::int64_t count, T wanted) {
  constexpr std::int64_t kBlock = 64;
  std::int64_t i = 0;
  for (; i + kBlock <= count; i += kBlock) {
    unsigned found = 0;
    for (std::int64_t j = 0; j < kBlock; ++j)
      found |= Champion<T, kSmallest>::ties(a[i + j], wanted) ? 1u : 0u;
    if (found != 0) break;
  }
  while (i < count && !Champion<T, kSmallest>::ties(a[i], wanted)) ++i;
  return i;
}

// What stands before the first element: beaten by all, and at index 0 in case there is none.
template <class T, bool kSmallest>
inline void start_champions(const Step& step, Data data, std::int64_t count,
                            const std::int64_t* strides) {
  start<std::int64_t>(data[step.slots[0]], count, strides[0], 0);
  start<T>(data[step.slots[2]], count, strides[2], PlainExtreme<T, kSmallest>::identity());
}

// Finds the row's extreme first and then its place: two fast passes over data in cache.
template <class T, bool kSmallest>
void arg_inner(const Step& step, Data data) {
  if (step.starts) start_champions<T, kSmallest>(step, data, step.outer, step.outer_stride);
  for (std::int64_t i = 0; i < step.outer; ++i) {
    const auto at = [&](int k) {
      return data[step.slots[k]] + static_cast<std::uintptr_t>(i * step.outer_stride[k]);
    };
    if (step.inner == 0) return;
    const T* const a = reinterpret_cast<const T*>(at(1));
    auto& index = *reinterpret_cast<std::int64_t*>(at(0));
    T& best = *reinterpret_cast<T*>(at(2));
    const T extreme =
        fold_row<Extreme<T, kSmallest>>(RowOfOne<Extreme<T, kSmallest>>{a}, step.inner);
    using Rule = Champion<T, kSmallest>;
    if (!Rule::beats(extreme, best) && !Rule::ties(extreme, best)) continue;
    const std::int64_t place = find_first<T, kSmallest>(a, step.inner, extreme);
    Rule::challenge(index, best, extreme,
                    static_cast<std::int64_t>(at(3)) + place * step.inner_stride[3]);
  }
}

template <class T, bool kSmallest>
void arg_outer(const Step& step, Data data) {
  if (step.starts) start_champions<T, kSmallest>(step, data, step.inner, step.inner_stride);
  auto* const index = reinterpret_cast<std::int64_t*>(data[step.slots[0]]);
  T* const best = reinterpret_cast<T*>(data[step.slots[2]]);
  for (std::int64_t i = 0; i < step.outer; ++i) {
    const T* const a = reinterpret_cast<const T*>(
        data[step.slots[1]] + static_cast<std::uintptr_t>(i * step.outer_stride[1]));
    const std::int64_t first =
        static_cast<std::int64_t>(data[step.slots[3]]) + i * step.outer_stride[3];
    for (std::int64_t j = 0; j < step.inner; ++j) {
      Champion<T, kSmallest>::challenge(index[j], best[j], a[j], first + j * step.inner_stride[3]);
    }
  }
}

}  // namespace dvm::cpu

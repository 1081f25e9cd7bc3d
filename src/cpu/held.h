// What vectors occupy, for who keeps many of them within bounds.
#pragma once

#include <cstddef>
#include <vector>

namespace dvm::cpu {

/// The bytes that `vector` has allocated, and what malloc itself needs for them: its header, and rounding up.
template <class T>
std::size_t held_bytes(const std::vector<T>& vector) {
  constexpr std::size_t kOfMalloc = 16;
  return vector.capacity() == 0 ? 0 : vector.capacity() * sizeof(T) + kOfMalloc;
}

}  // namespace dvm::cpu

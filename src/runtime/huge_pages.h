// Memory that is about to be written for the first time, asked of the system in large pages.
#pragma once

#include <cstdint>

namespace dvm {

/// From this size on, malloc of glibc maps every block afresh and gives it back when it is freed. Each page of 4 KiB then
/// costs a fault at its first write: more time than computing what is written there. Smaller blocks are mostly memory that
/// the allocator has used before, where asking costs and brings nothing.
inline constexpr std::int64_t kAlwaysFresh = 32 << 20;

/// Asks for huge pages within `bytes` bytes at `data`, whose contents may still be undefined. Does nothing for less
/// than `least`. It is a hint; the system may ignore it.
void prefer_huge_pages(void* data, std::int64_t bytes, std::int64_t least = kAlwaysFresh);

}  // namespace dvm

// Memory that is about to be written for the first time, asked of the system in large pages.
#pragma once

#include <cstdint>

namespace dvm {

/// Asks for huge pages within `bytes` bytes at `data`, whose contents may still be undefined. Does nothing for less
/// than 32 MiB: smaller blocks are mostly memory that the allocator has used before, where asking costs and brings
/// nothing. It is a hint; the system may ignore it.
void prefer_huge_pages(void* data, std::int64_t bytes);

}  // namespace dvm

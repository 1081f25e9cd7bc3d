#include "runtime/huge_pages.h"

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace dvm {

void prefer_huge_pages(void* data, std::int64_t bytes, std::int64_t least) {
#ifdef MADV_HUGEPAGE
  constexpr std::uintptr_t kHugePage = 2 << 20;
  if (bytes < least) return;
  const std::uintptr_t begin = reinterpret_cast<std::uintptr_t>(data);
  const std::uintptr_t first = (begin + kHugePage - 1) & ~(kHugePage - 1);
  const std::uintptr_t end = (begin + static_cast<std::uintptr_t>(bytes)) & ~(kHugePage - 1);
  if (first < end) (void)madvise(reinterpret_cast<void*>(first), end - first, MADV_HUGEPAGE);
#else
  (void)data, (void)bytes, (void)least;
#endif
}

}  // namespace dvm

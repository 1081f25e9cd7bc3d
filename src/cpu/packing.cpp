#include "cpu/packing.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "isa/product.h"

namespace dvm::cpu {
namespace {

// Smaller ones stay in the caches of a core anyway.
constexpr std::int64_t kLeastBytes = 64 << 10;

std::int64_t of_b(const PackForm& form) { return bytes(kProducts[form.types].b); }
std::int64_t row_bytes(const PackForm& form) { return kPackedCols * of_b(form); }

}  // namespace

bool packs(const PackForm& form, const KernelTable& kernels) {
  if (kernels.matrix[form.types].packed == nullptr || form.n < kPackedCols || form.k < 1)
    return false;
  return form.n * form.k * of_b(form) >= kLeastBytes &&
         (form.k_stride == of_b(form) || form.n_stride == of_b(form));
}

std::int64_t panel_bytes(const PackForm& form) { return form.k * row_bytes(form); }

std::int64_t packed_bytes(const PackForm& form) {
  return (form.n + kPackedCols - 1) / kPackedCols * panel_bytes(form);
}

void pack(const PackForm& form, const KernelTable& kernels, const void* from, void* to,
          std::int64_t first, std::int64_t end) {
  const auto* const source = static_cast<const std::byte*>(from);
  for (std::int64_t panel = first; panel < end; ++panel) {
    const std::int64_t col = panel * kPackedCols, cols = std::min(kPackedCols, form.n - col);
    const std::byte* const b = source + col * form.n_stride;
    std::byte* const rows = static_cast<std::byte*>(to) + panel * panel_bytes(form);
    if (cols < kPackedCols) std::memset(rows, 0, static_cast<std::size_t>(panel_bytes(form)));
    if (form.k_stride == of_b(form)) {
      kernels.matrix[form.types].panel({.b = b,
                                        .b_col = form.n_stride / of_b(form),
                                        .from = 0,
                                        .to = rows,
                                        .to_row = kPackedCols,
                                        .n = cols,
                                        .k = form.k});
    } else {
      for (std::int64_t k = 0; k < form.k; ++k)
        std::memcpy(rows + k * row_bytes(form), b + k * form.k_stride,
                    static_cast<std::size_t>(cols * of_b(form)));
    }
  }
}

}  // namespace dvm::cpu

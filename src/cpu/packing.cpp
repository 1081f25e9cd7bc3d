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

// `cols` columns of a panel of a weight of windows, whose rows lie anywhere.
void pack_taps(const PackForm& form, const std::byte* from, float* to, std::int64_t cols) {
  const std::int64_t channels = form.k / form.taps;
  for (std::int64_t col = 0; col < cols; ++col) {
    const std::byte* const output = from + col * form.n_stride;
    for (std::int64_t channel = 0; channel < channels; ++channel) {
      const std::byte* const taps = output + channel * form.k_stride;
      float* const at = to + channel * kPackedCols + col;
      for (std::int64_t tap = 0; tap < form.taps; ++tap)
        at[tap * channels * kPackedCols] =
            *reinterpret_cast<const float*>(taps + tap * form.tap_stride);
    }
  }
}

}  // namespace

bool packs(const PackForm& form, const KernelTable& kernels) {
  const MatrixKernels& of_types = kernels.matrix[form.types];
  if (of_types.packed == nullptr || form.n < kPackedCols || form.k < 1) return false;
  const bool along_k = form.k_stride == of_b(form);
  const bool along_n = form.n_stride == of_b(form) && of_types.panel_group == 1;
  return form.n * form.k * of_b(form) >= kLeastBytes && (along_k || along_n);
}

std::int64_t panel_bytes(int types, std::int64_t k, const KernelTable& kernels) {
  const std::int64_t group = kernels.matrix[types].panel_group, of_b = bytes(kProducts[types].b);
  if (group == 1) return k * kPackedCols * of_b;
  return ((k + group - 1) / group + 1) * kPackedCols * group * of_b;  // and a row of corrections
}

std::int64_t packed_bytes(const PackForm& form, const KernelTable& kernels) {
  return (form.n + kPackedCols - 1) / kPackedCols * panel_bytes(form.types, form.k, kernels);
}

void pack(const PackForm& form, const KernelTable& kernels, const void* from, void* to,
          std::int64_t first, std::int64_t end) {
  const auto* const source = static_cast<const std::byte*>(from);
  const std::int64_t of_panel = panel_bytes(form.types, form.k, kernels);
  const std::int64_t of_row = kPackedCols * of_b(form);
  for (std::int64_t panel = first; panel < end; ++panel) {
    const std::int64_t col = panel * kPackedCols, cols = std::min(kPackedCols, form.n - col);
    const std::byte* const b = source + col * form.n_stride;
    std::byte* const rows = static_cast<std::byte*>(to) + panel * of_panel;
    if (cols < kPackedCols) std::memset(rows, 0, static_cast<std::size_t>(of_panel));
    if (form.taps != 1) {
      pack_taps(form, b, reinterpret_cast<float*>(rows), cols);
    } else if (form.k_stride == of_b(form)) {
      kernels.matrix[form.types].pack({.b = b,
                                       .b_col = form.n_stride / of_b(form),
                                       .from = 0,
                                       .to = rows,
                                       .to_row = kPackedCols,
                                       .n = cols,
                                       .k = form.k});
    } else {
      for (std::int64_t k = 0; k < form.k; ++k)
        std::memcpy(rows + k * of_row, b + k * form.k_stride,
                    static_cast<std::size_t>(cols * of_b(form)));
    }
  }
}

}  // namespace dvm::cpu

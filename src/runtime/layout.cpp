#include "runtime/layout.h"

#include <algorithm>

namespace dvm {

std::int64_t LayoutView::elements() const {
  std::int64_t count = 1;
  for (int i = 0; i < rank; ++i) count *= sizes[i];
  return count;
}

std::int64_t Layout::elements() const { return LayoutView{rank, sizes, strides}.elements(); }

bool Layout::contiguous(std::int64_t element_bytes) const {
  if (elements() == 0) return true;
  std::int64_t stride = element_bytes;
  for (int i = rank - 1; i >= 0; --i) {
    if (sizes[i] != 1 && strides[i] != stride) return false;
    stride *= sizes[i];
  }
  return true;
}

bool contiguous_at_end(const Layout& layout, std::int64_t element_bytes) {
  const int last = layout.rank - 1;
  return layout.sizes[last] == 1 || layout.strides[last] == element_bytes;
}

Layout dense(std::span<const std::int64_t> sizes, std::int64_t element_bytes,
             std::span<const int> order) {
  Layout to;
  to.rank = static_cast<int>(sizes.size());
  std::ranges::copy(sizes, to.sizes);
  std::int64_t stride = element_bytes;
  for (int i = to.rank - 1; i >= 0; --i) {
    const int axis = order.empty() ? i : order[i];
    to.strides[axis] = stride;
    stride *= std::max<std::int64_t>(sizes[axis], 1);  // as torch and NumPy do for empty tensors
  }
  return to;
}

Layout permute(const Layout& from, std::span<const int> axes) {
  Layout to;
  to.rank = from.rank;
  for (int i = 0; i < to.rank; ++i) {
    to.sizes[i] = from.sizes[axes[i]];
    to.strides[i] = from.strides[axes[i]];
  }
  return to;
}

Layout expand(const Layout& from, std::span<const std::int64_t> sizes) {
  Layout to;
  to.rank = static_cast<int>(sizes.size());
  const int added = to.rank - from.rank;
  for (int i = 0; i < to.rank; ++i) {
    to.sizes[i] = sizes[i];
    const bool moves = i >= added && from.sizes[i - added] == sizes[i];
    to.strides[i] = moves ? from.strides[i - added] : 0;
  }
  return to;
}

std::optional<Layout> reshape(const Layout& from, std::span<const std::int64_t> sizes,
                              std::int64_t element_bytes) {
  Layout to = dense(sizes, element_bytes);
  if (from.contiguous(element_bytes)) return to;

  // From the right, take axes of `from` that follow each other in memory as one run, and cut the new axes out of it.
  int next = from.rank - 1;
  std::int64_t left = 1;  // elements of the run that are not dealt out yet
  std::int64_t stride = element_bytes;
  for (int i = to.rank - 1; i >= 0; --i) {
    if (sizes[i] == 1) continue;
    if (left == 1) {
      while (from.sizes[next] == 1) --next;
      left = from.sizes[next];
      stride = from.strides[next];
      std::int64_t follows = left * stride;
      for (--next; next >= 0 && (from.sizes[next] == 1 || from.strides[next] == follows); --next) {
        if (from.sizes[next] == 1) continue;
        left *= from.sizes[next];
        follows *= from.sizes[next];
      }
    }
    if (left % sizes[i] != 0) return std::nullopt;
    to.strides[i] = stride;
    stride *= sizes[i];
    left /= sizes[i];
  }
  return to;
}

}  // namespace dvm

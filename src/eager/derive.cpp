#include "eager/derive.h"

#include <algorithm>
#include <functional>

namespace dvm::eager {
namespace {

// Axes in another order, without some of size 1, with others, and broadcast.
std::optional<View> rearranged(int value, const Region& base, const Region& region) {
  View view{.value = value};
  const Layout &from = base.layout, &to = region.layout;
  std::uint32_t used = 0;
  for (int axis = 0; axis < to.rank; ++axis) {
    view.sizes.push_back(to.sizes[axis]);
    int found = -1;
    if (to.sizes[axis] != 1 && to.strides[axis] != 0) {
      for (int i = 0; i < from.rank && found < 0; ++i) {
        const bool is_it = from.sizes[i] == to.sizes[axis] && from.strides[i] == to.strides[axis];
        if (is_it && (used >> i & 1) == 0) found = i;
      }
      if (found < 0) return std::nullopt;
      used |= 1u << found;
    }
    view.axes.push_back(found);
  }
  for (int i = 0; i < from.rank; ++i) {
    if (from.sizes[i] != 1 && (used >> i & 1) == 0) return std::nullopt;
  }
  return view;
}

struct Axis {
  std::int64_t stride, size;  // in elements
  int of;                     // which of the view's
};

// The base cut into factors, of each of which the view has a part: their strides are those of the view, which have to
// divide each other.
std::optional<View> cut(int value, const Region& base, const Region& region) {
  const std::int64_t element = bytes(base.type);
  if (!base.layout.contiguous(element)) return std::nullopt;
  const std::int64_t total = base.layout.elements();
  std::int64_t offset = (region.data - base.data) / element;
  View view{.value = value};
  std::vector<Axis> axes;
  for (int axis = 0; axis < region.layout.rank; ++axis) {
    const std::int64_t size = region.layout.sizes[axis], stride = region.layout.strides[axis];
    view.sizes.push_back(size);
    view.axes.push_back(-1);
    if (stride < 0) return std::nullopt;
    if (size != 1 && stride != 0) axes.push_back({stride / element, size, axis});
  }
  std::ranges::sort(axes, std::greater(), &Axis::stride);
  if (axes.empty() || axes.back().stride != 1) axes.push_back({1, 1, -1});
  std::int64_t above = total;
  for (const Axis& axis : axes) {
    if (above % axis.stride != 0) return std::nullopt;
    const std::int64_t factor = above / axis.stride, start = offset / axis.stride;
    if (factor == 0 || start + axis.size > factor) return std::nullopt;
    if (axis.of >= 0) view.axes[axis.of] = static_cast<int>(view.factors.size());
    view.factors.push_back(factor);
    view.starts.push_back(start);
    view.lengths.push_back(axis.size);
    offset -= start * axis.stride;
    above = axis.stride;
  }
  return offset == 0 ? std::optional(view) : std::nullopt;
}

}  // namespace

std::optional<View> derive(int value, const Region& base, const Region& region) {
  if (base.type != region.type || region.data < base.data) return std::nullopt;
  if (base.data == region.data) {
    if (auto view = rearranged(value, base, region)) return view;
  }
  return cut(value, base, region);
}

}  // namespace dvm::eager

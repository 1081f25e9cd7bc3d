#include "eager/derive.h"

#include <algorithm>

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

}  // namespace

std::optional<View> derive(int value, const Region& base, const Region& region) {
  if (base.type != region.type || base.data != region.data) return std::nullopt;
  if (auto view = rearranged(value, base, region)) return view;
  const std::int64_t element = bytes(base.type);
  if (!base.layout.contiguous(element) || !region.layout.contiguous(element) ||
      base.layout.elements() != region.layout.elements()) {
    return std::nullopt;
  }
  View view{.value = value, .reshape = true};
  view.sizes.assign(region.layout.sizes, region.layout.sizes + region.layout.rank);
  return view;
}

}  // namespace dvm::eager

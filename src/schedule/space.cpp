#include "schedule/space.h"

#include <algorithm>

namespace dvm {
namespace {

struct Builder {
  const Kernel& kernel;
  const KernelShape& shape;
  Space space;
  std::vector<Access*> accesses;  // largest footprint first

  void add(std::vector<Access>& list, const std::vector<std::int64_t>& strides,
           std::int64_t bytes) {
    Access access;
    access.bytes = bytes;
    access.footprint = 1;
    for (std::size_t i = 0; i < strides.size(); ++i) {
      access.strides[i] = shape.extents[i] == 1 ? 0 : strides[i];
      if (access.strides[i] != 0) access.footprint *= shape.extents[i];
    }
    list.push_back(access);
  }

  void add_positions() {
    std::vector<std::int64_t> strides(kernel.axes.size());
    bool counts = false;
    for (const Term& term : kernel.terms) {
      counts = counts || (term.kind == TermKind::kReduce && info(term.op).accumulators > 1);
      if (term.kind != TermKind::kIota) continue;
      std::ranges::fill(strides, 0);
      strides[term.index] = 1;
      add(space.positions, strides, 0);
    }
    if (!counts) return;
    std::int64_t step = 1;
    for (std::size_t i = kernel.axes.size(); i-- > 0;) {
      const bool reduced = kernel.reduced >> i & 1;
      strides[i] = reduced ? step : 0;
      if (reduced) step *= shape.extents[i];
    }
    add(space.positions, strides, 0);
  }

  void gather() {
    for (std::size_t i = 0; i < kernel.inputs.size(); ++i) {
      add(space.inputs, shape.input_strides[i], bytes(kernel.inputs[i].type));
    }
    for (std::size_t i = 0; i < kernel.outputs.size(); ++i) {
      add(space.outputs, shape.output_strides[i], bytes(kernel.outputs[i].type));
    }
    add_positions();
    for (auto* list : {&space.outputs, &space.inputs, &space.positions}) {
      for (Access& access : *list) accesses.push_back(&access);
    }
    std::ranges::stable_sort(accesses, std::greater<>(),
                             [](const Access* a) { return a->bytes ? a->footprint : 0; });
  }

  // Whether loop axis a belongs outside loop axis b: the largest tensor that moves along both decides.
  bool outside(int a, int b) const {
    for (const Access* access : accesses) {
      const std::int64_t x = std::abs(access->strides[a]);
      const std::int64_t y = std::abs(access->strides[b]);
      if (x != 0 && y != 0 && x != y) return x > y;
    }
    return a < b;
  }

  Space run() {
    gather();
    std::vector<int> order;
    for (int i = 0; i < static_cast<int>(kernel.axes.size()); ++i) {
      if (shape.extents[i] == 0 && !(kernel.reduced >> i & 1)) space.empty = true;
      // A reduced axis of size 1 still is what the reduction runs along.
      if (shape.extents[i] == 1 && !is_last_reduced(i)) continue;
      auto at = order.begin();
      while (at != order.end() && !outside(i, *at)) ++at;
      order.insert(at, i);
    }
    // Innermost first; `kept` are the axes that stay, with the extents of those merged into them.
    std::vector<int> kept;
    std::vector<std::int64_t> extents;
    for (std::size_t k = order.size(); k-- > 0;) {
      const int axis = order[k];
      if (!kept.empty() && can_join(axis, kept.back(), extents.back())) {
        extents.back() *= shape.extents[axis];
      } else {
        kept.push_back(axis);
        extents.push_back(shape.extents[axis]);
      }
    }
    std::ranges::reverse(kept);
    std::ranges::reverse(extents);
    for (std::size_t i = 0; i < kept.size(); ++i) {
      const bool reduced = kernel.reduced >> kept[i] & 1;
      space.axes.push_back({extents[i], 1, reduced ? Role::kReduce : Role::kParallel});
      space.reduced |= static_cast<AxisMask>(reduced) << i;
    }
    for (Access* access : accesses) {
      Strides strides{};
      for (std::size_t i = 0; i < kept.size(); ++i) strides[i] = access->strides[kept[i]];
      access->strides = strides;
    }
    space.loops = static_cast<int>(space.axes.size());
    for (std::size_t i = 0; i < shape.picked.size(); ++i) {
      if (shape.picked[i].extent == 0) continue;
      space.inputs[i].strides[space.axes.size()] = shape.picked[i].stride;
      space.axes.push_back({shape.picked[i].extent, 1, Role::kIndexed});
    }
    return std::move(space);
  }

  bool can_join(int outer, int inner, std::int64_t inner_extent) const {
    if ((kernel.reduced >> outer & 1) != (kernel.reduced >> inner & 1)) return false;
    return std::ranges::all_of(accesses, [&](const Access* access) {
      return access->strides[outer] == access->strides[inner] * inner_extent;
    });
  }

  bool is_last_reduced(int axis) const {
    if (!(kernel.reduced >> axis & 1)) return false;
    for (int i = 0; i < static_cast<int>(kernel.axes.size()); ++i) {
      if (i != axis && (kernel.reduced >> i & 1) && (shape.extents[i] != 1 || i < axis))
        return false;
    }
    return true;
  }
};

}  // namespace

Space collapse(const Kernel& kernel, const KernelShape& shape) {
  return Builder{.kernel = kernel, .shape = shape, .space = {}, .accesses = {}}.run();
}

}  // namespace dvm

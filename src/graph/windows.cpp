#include "graph/windows.h"

#include <algorithm>
#include <cstddef>
#include <stdexcept>
#include <string>

#include "graph/text.h"

namespace dvm {
namespace {

constexpr std::size_t kHead = 2, kPerAxis = 5;

}  // namespace

Windows windows(const Node& node) {
  Windows windows;
  windows.transposed = node.axes[0] != 0;
  windows.groups = node.axes[1];
  for (std::size_t i = kHead; i < node.axes.size(); i += kPerAxis) {
    windows.stride.push_back(node.axes[i]);
    windows.before.push_back(node.axes[i + 1]);
    windows.after.push_back(node.axes[i + 2]);
    windows.dilation.push_back(node.axes[i + 3]);
    if (node.kind == NodeKind::kPool) windows.taps.push_back(node.axes[i + 4]);
  }
  return windows;
}

std::vector<int> axes_of(const Windows& windows) {
  std::vector<int> axes = {windows.transposed ? 1 : 0, windows.groups};
  for (std::size_t i = 0; i < windows.stride.size(); ++i) {
    axes.insert(axes.end(), {windows.stride[i], windows.before[i], windows.after[i],
                             windows.dilation[i], windows.taps.empty() ? 0 : windows.taps[i]});
  }
  return axes;
}

Dim convolved(Dims& dims, const Windows& windows, int axis, Dim size, Dim taps) {
  const auto at = static_cast<std::size_t>(axis);
  const Dim one = dims.constant(1), stride = dims.constant(windows.stride[at]);
  const Dim ends = dims.constant(windows.before[at] + windows.after[at]);
  // How far the last tap is from the first.
  const Dim reach = dims.binary(DimOp::kMultiply, dims.constant(windows.dilation[at]),
                                dims.binary(DimOp::kSubtract, taps, one));
  if (windows.transposed) {
    const Dim moved =
        dims.binary(DimOp::kMultiply, dims.binary(DimOp::kSubtract, size, one), stride);
    const Dim whole = dims.binary(DimOp::kAdd, dims.binary(DimOp::kAdd, moved, reach), one);
    return dims.binary(DimOp::kSubtract, whole, ends);
  }
  const Dim room = dims.binary(DimOp::kSubtract, dims.binary(DimOp::kAdd, size, ends),
                               dims.binary(DimOp::kAdd, reach, one));
  const Dim steps = windows.stride[at] == 1 ? room : dims.binary(DimOp::kFloorDiv, room, stride);
  return dims.binary(DimOp::kAdd, steps, one);
}

namespace {

[[noreturn]] void fail(const char* where, const std::string& what) {
  throw std::invalid_argument("[" + std::string(where) + "] " + what);
}

void check_windows(const char* where, const Windows& windows, std::size_t axes) {
  for (const std::vector<int>* list :
       {&windows.stride, &windows.before, &windows.after, &windows.dilation}) {
    if (list->size() != axes) {
      fail(where, std::to_string(list->size()) +
                      " numbers came for a stride, padding or dilation, " + std::to_string(axes) +
                      " are wanted");
    }
  }
  for (std::size_t i = 0; i < axes; ++i) {
    if (windows.stride[i] < 1 || windows.dilation[i] < 1)
      fail(where, "a stride or dilation below 1 came, 1 or more is wanted");
    if (!windows.transposed && (windows.before[i] < 0 || windows.after[i] < 0))
      fail(where, "a negative padding came, 0 or more is wanted");
  }
}

}  // namespace

Value Graph::pool(Op op, Value x, const Windows& windows) {
  require(x, "pool");
  const std::vector<Dim> from = nodes_[x].shape;
  if (op != Op::max && op != Op::sum)
    fail("pool", std::string(info(op).name) + " came, max or sum is wanted");
  if (nodes_[x].type != Type::f32) {
    fail("pool",
         "an operand of type " + std::string(info(nodes_[x].type).text) + " came, f32 is wanted");
  }
  if (from.size() < 3 || from.size() > 5)
    fail("pool", "a shape " + shape_text(dims(), from) + " came, three to five axes are wanted");
  check_windows("pool", windows, from.size() - 2);
  if (windows.taps.size() != from.size() - 2 || std::ranges::min(windows.taps) < 1)
    fail("pool", "an element or more of a window are wanted along each axis");
  std::vector<Dim> shape = {from[0], from[1]};
  for (std::size_t i = 0; i + 2 < from.size(); ++i) {
    shape.push_back(convolved(dims(), windows, static_cast<int>(i), from[i + 2],
                              dims().constant(windows.taps[i])));
  }
  return add({.kind = NodeKind::kPool,
              .op = op,
              .type = Type::f32,
              .operands = {x},
              .shape = std::move(shape),
              .axes = axes_of(windows)});
}

Value Graph::convolve(Value x, Value weight, const Windows& windows) {
  require(x, "convolve");
  require(weight, "convolve");
  const Node &data = nodes_[x], &taps = nodes_[weight];
  if (data.type != Type::f32 || taps.type != Type::f32) {
    fail("convolve", "operands of the types " + std::string(info(data.type).text) + " and " +
                         std::string(info(taps.type).text) + " came, two of f32 are wanted");
  }
  const std::vector<Dim> from = data.shape, by = taps.shape;
  const std::string shapes = shape_text(dims(), from) + " and " + shape_text(dims(), by);
  const std::size_t axes = from.size() - 2;
  if (from.size() < 3 || from.size() > 5 || by.size() != from.size())
    fail("convolve", "shapes " + shapes + " came, three to five axes are wanted, as many of each");
  check_windows("convolve", windows, axes);
  if (windows.groups < 1)
    fail("convolve", std::to_string(windows.groups) + " groups came, 1 or more are wanted");
  const Dim groups = dims().constant(windows.groups);
  const Dim outer = by[windows.transposed ? 1 : 0], inner = by[windows.transposed ? 0 : 1];
  // Of one group a weight has the inputs, or transposed the outputs.
  const Dim inputs = windows.transposed ? inner : dims().binary(DimOp::kMultiply, inner, groups);
  const Dim whole = windows.transposed ? inner : outer;
  if (dims().is_constant(whole) && dims().value(whole) % windows.groups != 0) {
    fail("convolve", "a weight " + shape_text(dims(), by) + " does not divide into " +
                         std::to_string(windows.groups) + " groups");
  }
  if (!equal("convolve", from[1], inputs)) {
    fail("convolve", "shapes " + shapes + " do not fit with " + std::to_string(windows.groups) +
                         " groups: the channels differ");
  }
  std::vector<Dim> shape = {
      from[0], windows.transposed ? dims().binary(DimOp::kMultiply, outer, groups) : outer};
  for (std::size_t i = 0; i < axes; ++i)
    shape.push_back(convolved(dims(), windows, static_cast<int>(i), from[i + 2], by[i + 2]));
  return add({.kind = NodeKind::kConvolve,
              .type = Type::f32,
              .operands = {x, weight},
              .shape = std::move(shape),
              .axes = axes_of(windows)});
}

}  // namespace dvm

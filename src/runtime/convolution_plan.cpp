#include "runtime/convolution_plan.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "cpu/dispatch.h"

namespace dvm {
namespace {

constexpr std::int64_t kFloat = sizeof(float);
constexpr int kAxes = cpu::kWindowAxes;

std::int64_t stride_of(const Layout& layout, int axis) {
  return layout.sizes[axis] == 1 ? 0 : layout.strides[axis];
}

}  // namespace

Layout weight_by_groups(const Layout& weight, const Windows& windows) {
  Layout by = weight;
  by.rank = weight.rank + 1;
  for (int axis = weight.rank; axis-- > 2;) {
    by.sizes[axis + 1] = weight.sizes[axis];
    by.strides[axis + 1] = weight.strides[axis];
  }
  const int outputs = windows.transposed ? 1 : 0, inputs = 1 - outputs;
  // The axis that has the parts of all groups comes first in a weight.
  const std::int64_t part = weight.sizes[0] / windows.groups;
  by.sizes[0] = windows.groups;
  by.strides[0] = part * weight.strides[0];
  by.sizes[1] = windows.transposed ? weight.sizes[outputs] : part;
  by.strides[1] = weight.strides[outputs];
  by.sizes[2] = windows.transposed ? part : weight.sizes[inputs];
  by.strides[2] = weight.strides[inputs];
  return by;
}

bool ConvolutionPlan::takes(const Layout& weight) {
  std::int64_t bytes = kFloat;
  for (int axis = weight.rank; axis-- > 2;) {
    if (weight.sizes[axis] != 1 && weight.strides[axis] != bytes) return false;
    bytes *= weight.sizes[axis];
  }
  return weight.sizes[0] == 1 || weight.sizes[1] == 1 ||
         weight.strides[0] == weight.sizes[1] * weight.strides[1];
}

ConvolutionPlan::ConvolutionPlan(const Windows& windows, std::span<const std::int64_t> sizes,
                                 const Layout& x, const Layout& weight)
    : rank_(x.rank) {
  shape_.groups = windows.groups;
  shape_.outputs = weight.sizes[1];
  shape_.inputs = weight.sizes[2];
  // With one output of each group, groups are what is apart.
  shape_.weight_output = weight.sizes[1] == 1 ? stride_of(weight, 0) : weight.strides[1];
  take(windows, sizes, x, {weight.sizes + 3, static_cast<std::size_t>(rank_ - 2)});
}

ConvolutionPlan::ConvolutionPlan(Op op, const Windows& windows, std::span<const std::int64_t> sizes,
                                 const Layout& x)
    : rank_(x.rank) {
  shape_.fold = op == Op::max ? cpu::WindowFold::kMax : cpu::WindowFold::kSum;
  shape_.groups = sizes[1];
  shape_.outputs = shape_.inputs = 1;
  const std::vector<std::int64_t> taps(windows.taps.begin(), windows.taps.end());
  take(windows, sizes, x, taps);
}

void ConvolutionPlan::take(const Windows& windows, std::span<const std::int64_t> sizes,
                           const Layout& x, std::span<const std::int64_t> taps) {
  shape_.images = sizes[0];
  shape_.image = stride_of(x, 0);
  shape_.channel = stride_of(x, 1);
  cpu::Window& window = shape_.window;
  window.transposed = windows.transposed;
  const int axes = rank_ - 2;
  for (int i = 0; i < axes; ++i) {
    const int axis = kAxes - axes + i;
    window.size[axis] = x.sizes[2 + i];
    window.out[axis] = sizes[static_cast<std::size_t>(2 + i)];
    window.taps[axis] = taps[static_cast<std::size_t>(i)];
    window.stride[axis] = windows.stride[i];
    window.before[axis] = windows.before[i];
    window.dilation[axis] = windows.dilation[i];
    shape_.move[axis] = stride_of(x, 2 + i);
    const std::int64_t reach = (window.taps[axis] - 1) * window.dilation[axis] + 1;
    const std::int64_t room = window.size[axis] + windows.before[i] + windows.after[i];
    if (!windows.transposed && reach > room) {
      throw std::invalid_argument("[convolve] " + std::to_string(room) +
                                  " elements of an axis came, padding included, as many as a "
                                  "window has are wanted: " +
                                  std::to_string(reach));
    }
  }
}

// Strides along the dimensions of the result become strides along batch axes, rows and columns of a tile.
std::vector<cpu::MatrixStrides> ConvolutionPlan::lay(
    const std::vector<cpu::MatrixStrides>& tensors) {
  const int axes = rank_ - 2;
  const auto dim = [&](int axis) { return axis - kAxes + rank_; };
  const auto joins = [&](int axis) {  // with the one behind it
    const std::int64_t* const out = shape_.window.out;
    return out[axis] == 1 || std::ranges::all_of(tensors, [&](const cpu::MatrixStrides& strides) {
             return strides.empty() || strides[dim(axis)] == out[axis + 1] * strides[dim(axis + 1)];
           });
  };
  const int most = cpu::Convolution::is_depthwise(shape_) ? 2 : axes;
  shape_.merged = 1;
  while (shape_.merged < std::min(most, axes) && joins(kAxes - shape_.merged - 1)) ++shape_.merged;

  std::vector<cpu::MatrixStrides> laid;
  for (const cpu::MatrixStrides& strides : tensors) {
    cpu::MatrixStrides& to = laid.emplace_back();
    if (strides.empty()) continue;
    to = {strides[0], shape_.outputs * strides[1]};
    for (int axis = 0; axis < kAxes - shape_.merged; ++axis)
      to.push_back(axis < kAxes - axes ? 0 : strides[dim(axis)]);
    to.push_back(strides[1]);
    to.push_back(strides.back());
  }
  return laid;
}

std::unique_ptr<cpu::Convolution> ConvolutionPlan::write(const Layout& result) {
  const cpu::MatrixStrides strides(result.strides, result.strides + result.rank);
  std::vector<cpu::MatrixStrides> tensors = lay({strides});
  auto convolution = std::make_unique<cpu::Convolution>(shape_, *cpu::isa().kernels);
  convolution->write(std::move(tensors[0]));
  return convolution;
}

std::unique_ptr<cpu::Convolution> ConvolutionPlan::finish(const TileEpilogue& epilogue,
                                                          std::vector<Program>* programs) {
  std::vector<cpu::MatrixStrides> tensors = lay(epilogue.strides());
  auto convolution = std::make_unique<cpu::Convolution>(shape_, *cpu::isa().kernels);
  std::vector<int> cols;
  for (int axis = 0; axis < shape_.merged; ++axis) cols.push_back(rank_ - 1 - axis);
  epilogue.attach(*convolution, std::move(tensors), {1}, cols, programs);
  return convolution;
}

}  // namespace dvm

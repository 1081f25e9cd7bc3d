#include "runtime/convolution_plan.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "cpu/dispatch.h"
#include "isa/product.h"
#include "runtime/channel_order.h"

namespace dvm {
namespace {

constexpr std::int64_t kFloat = sizeof(float);
constexpr int kAxes = cpu::kWindowAxes;
constexpr std::int64_t kLeastChannels = 4;

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

namespace {

// Whether the axes of a weight from `first` on are one, `bytes` apart.
bool join(const Layout& weight, int first, std::int64_t bytes) {
  for (int axis = weight.rank; axis-- > first;) {
    if (weight.sizes[axis] != 1 && weight.strides[axis] != bytes) return false;
    bytes *= weight.sizes[axis];
  }
  return true;
}

// From one tap to the next, if that is the same everywhere; else 0.
std::int64_t tap_stride(const Layout& weight) {
  int last = weight.rank - 1;
  while (last > 3 && weight.sizes[last] == 1) --last;
  return join(weight, 3, weight.strides[last]) ? weight.strides[last] : 0;
}

}  // namespace

bool ConvolutionPlan::takes(const Layout& weight) const {
  if (by_places_ && place_weight_.packed) return true;
  if (by_places_ && !cpu::Convolution::is_depthwise(shape_)) {
    const std::vector<int> order = weight_order();
    std::int64_t bytes = kFloat;
    for (std::size_t i = order.size(); i-- > 0;) {
      if (weight.sizes[order[i]] != 1 && weight.strides[order[i]] != bytes) return false;
      bytes *= weight.sizes[order[i]];
    }
    return true;
  }
  return join(weight, 2, kFloat) && (weight.sizes[0] == 1 || weight.sizes[1] == 1 ||
                                     weight.strides[0] == weight.sizes[1] * weight.strides[1]);
}

std::vector<int> ConvolutionPlan::weight_order() const {
  if (!by_places_ || cpu::Convolution::is_depthwise(shape_)) return {};
  std::vector<int> order = {0};
  if (cpu::ConvolutionByPlaces::gathers(shape_)) order.push_back(2);
  for (int axis = 3; axis < rank_ + 1; ++axis) order.push_back(axis);
  if (!cpu::ConvolutionByPlaces::gathers(shape_)) order.push_back(2);
  order.push_back(1);
  return order;
}

void ConvolutionPlan::turn(bool last) {
  // Few channels are shorter than a vector, and found for each place.
  const bool reads = shape_.channel == kFloat && shape_.groups * shape_.inputs >= kLeastChannels;
  by_places_ = (reads || last) && shape_.inputs > 0 && cpu::ConvolutionByPlaces::takes(shape_);
  place_weight_.row = shape_.outputs * kFloat;
}

std::optional<cpu::PackForm> ConvolutionPlan::pack(const Layout& weight) {
  const std::int64_t taps = shape_.window.all_taps();
  if (!by_places_ || cpu::Convolution::is_depthwise(shape_) || taps == 0 || shape_.outputs == 0)
    return {};
  cpu::PackForm form{.types = product_of(Type::f32, Type::f32),
                     .n = shape_.outputs,
                     .k = shape_.inputs * taps,
                     .n_stride = weight.strides[1],
                     .k_stride = weight.strides[2]};
  if (cpu::ConvolutionByPlaces::gathers(shape_)) {
    if (!join(weight, 2, kFloat)) return {};
    form.k_stride = kFloat;
  } else if (taps > 1) {
    form.taps = taps;
    form.tap_stride = tap_stride(weight);
    if (form.tap_stride == 0) return {};
  }
  if (form.taps == 1 && form.k_stride != kFloat && form.n_stride != kFloat) return {};
  place_weight_.packed = true;
  return form;
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
  return by_places_ ? lay_by_places(tensors) : lay_by_channels(tensors);
}

std::vector<cpu::MatrixStrides> ConvolutionPlan::lay_by_channels(
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

std::vector<cpu::MatrixStrides> ConvolutionPlan::lay_by_places(
    const std::vector<cpu::MatrixStrides>& tensors) {
  // Images, then the three axes, of which a tensor may lack the first.
  const auto extent = [&](int axis) {
    return axis == 0 ? shape_.images : shape_.window.out[axis - 1];
  };
  const auto stride = [&](const cpu::MatrixStrides& of, int axis) {
    const int dim = axis == 0 ? 0 : axis - 1 - kAxes + rank_;
    return axis > 0 && dim < 2 ? 0 : of[static_cast<std::size_t>(dim)];
  };
  // Rows so far: how many, and how far apart in each tensor.
  std::int64_t rows = 1;
  std::vector<std::int64_t> apart(tensors.size(), 0);
  const auto joins = [&](int axis) {
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      if (!tensors[i].empty() && stride(tensors[i], axis) != rows * apart[i]) return false;
    }
    return true;
  };
  shape_.merged = 0;
  for (int axis = kAxes; axis >= 0; --axis, ++shape_.merged) {
    if (extent(axis) == 1) continue;
    if (rows == 1) {
      for (std::size_t i = 0; i < tensors.size(); ++i)
        apart[i] = tensors[i].empty() ? 0 : stride(tensors[i], axis);
    } else if (!joins(axis)) {
      break;
    }
    rows *= extent(axis);
  }
  std::vector<cpu::MatrixStrides> laid;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    cpu::MatrixStrides& to = laid.emplace_back();
    if (tensors[i].empty()) continue;
    for (int axis = 0; axis <= kAxes - shape_.merged; ++axis)
      to.push_back(stride(tensors[i], axis));
    to.push_back(apart[i]);
    to.push_back(tensors[i][1]);
  }
  return laid;
}

std::unique_ptr<cpu::MatrixTiles> ConvolutionPlan::tiles() const {
  const cpu::KernelTable& kernels = *cpu::isa().kernels;
  if (by_places_) return std::make_unique<cpu::ConvolutionByPlaces>(shape_, place_weight_, kernels);
  return std::make_unique<cpu::Convolution>(shape_, kernels);
}

bool ConvolutionPlan::writes(const Layout& result) const {
  if (by_places_) return result.sizes[1] == 1 || result.strides[1] == kFloat;
  return contiguous_at_end(result, kFloat);
}

std::vector<int> ConvolutionPlan::result_order() const {
  return by_places_ ? channels_last(rank_) : std::vector<int>{};
}

std::unique_ptr<cpu::MatrixTiles> ConvolutionPlan::write(const Layout& result) {
  const cpu::MatrixStrides strides(result.strides, result.strides + result.rank);
  std::vector<cpu::MatrixStrides> tensors = lay({strides});
  auto convolution = tiles();
  convolution->write(std::move(tensors[0]));
  return convolution;
}

std::unique_ptr<cpu::MatrixTiles> ConvolutionPlan::finish(const TileEpilogue& epilogue,
                                                          std::vector<Program>* programs) {
  std::vector<cpu::MatrixStrides> tensors = lay(epilogue.strides());
  auto convolution = tiles();
  std::vector<int> places;
  for (int axis = 0; axis < shape_.merged; ++axis)
    places.push_back(axis == kAxes ? 0 : rank_ - 1 - axis);
  std::erase_if(places, [&](int dim) { return dim == 1; });
  if (by_places_) {
    epilogue.attach(*convolution, std::move(tensors), places, {1}, programs);
  } else {
    epilogue.attach(*convolution, std::move(tensors), {1}, places, programs);
  }
  return convolution;
}

}  // namespace dvm

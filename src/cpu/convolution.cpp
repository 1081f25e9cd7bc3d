#include "cpu/convolution.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "cpu/interpreter.h"
#include "cpu/scratch.h"

namespace dvm::cpu {
namespace {

constexpr std::int64_t kFloat = sizeof(float);
// Rows of a panel: it shares the first-level cache with the rows of the weight that meet it.
constexpr std::int64_t kPanelRows = 192;
// A tile, and the piece of the weight that all its panels meet, share the second-level cache.
constexpr std::int64_t kMostRows = 512, kMostElements = 1 << 16;
// Fewer rows would gather panels too often, fewer columns read the weight too often.
constexpr std::int64_t kLeastRows = 64, kLeastCols = 4 * kPanelCols;
// As many tiles as many threads can share evenly, as long as each is worth more than sharing it costs.
constexpr std::int64_t kWantedTiles = 16;
constexpr std::int64_t kLeastWork = 1 << 19;  // multiplications, about 10 microseconds
// Of a depthwise convolution: what the first-level cache holds of a channel, and a tile of channels.
constexpr std::int64_t kPlaneElements = 1 << 12, kSlideElements = 1 << 14;

std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// Parts of nearly equal size, a multiple of `multiple`.
std::int64_t even(std::int64_t size, std::int64_t most, std::int64_t multiple) {
  const std::int64_t parts = std::max<std::int64_t>(divide_up(size, most), 1);
  return std::max(divide_up(divide_up(size, parts), multiple) * multiple, multiple);
}

std::int64_t columns(const ConvolutionShape& s) {
  std::int64_t count = 1;
  for (int axis = kWindowAxes - s.merged; axis < kWindowAxes; ++axis) count *= s.window.out[axis];
  return count;
}

std::vector<std::int64_t> batch_of(const ConvolutionShape& s) {
  std::vector<std::int64_t> batch = {s.images, Convolution::is_depthwise(s) ? 1 : s.groups};
  for (int axis = 0; axis < kWindowAxes - s.merged; ++axis) batch.push_back(s.window.out[axis]);
  return batch;
}

std::int64_t rows_of(const ConvolutionShape& s) {
  return Convolution::is_depthwise(s) ? s.groups * s.outputs : s.outputs;
}

}  // namespace

bool Convolution::is_depthwise(const ConvolutionShape& shape) {
  return shape.fold != WindowFold::kWeighted ||
         (shape.inputs == 1 && shape.groups > 1 && !shape.window.transposed);
}

Convolution::Convolution(const ConvolutionShape& shape, const KernelTable& kernels)
    : MatrixTiles(batch_of(shape), rows_of(shape), columns(shape), kFloat,
                  shape.fold == WindowFold::kWeighted ? 2 : 1),
      shape_(shape),
      matrix_(kernels.matrix[product_of(Type::f32, Type::f32)]),
      windows_(kernels.windows) {
  choose_tile();
}

void Convolution::choose_tile() {
  const std::int64_t taps = shape_.window.all_taps();
  double batch = 1;
  for (const std::int64_t size : batch_) batch *= static_cast<double>(size);
  const double elements = batch * static_cast<double>(m_) * static_cast<double>(n_);
  const auto depth = static_cast<double>(shape_.inputs * taps);
  set_work(elements * (depth / kProductsPerWork + 1));
  if (is_depthwise(shape_)) {
    // Whole lines of the result.
    const std::int64_t width = shape_.window.out[2], lines = width == 0 ? 0 : n_ / width;
    const std::int64_t most =
        std::max<std::int64_t>(kPlaneElements / std::max<std::int64_t>(width, 1), 1);
    const std::int64_t cols = std::max<std::int64_t>(even(lines, most, 1) * width, 1);
    std::int64_t rows =
        std::clamp<std::int64_t>(kSlideElements / cols, 1, std::max<std::int64_t>(m_, 1));
    while (cut(rows, cols) < kWantedTiles && rows > 1 && rows * cols * taps > kLeastWork / 2)
      rows = divide_up(rows, 2);
    return;
  }
  std::int64_t rows = even(m_, kMostRows, 8);
  std::int64_t cols = even(n_, std::max(kMostElements / rows, kLeastCols), kPanelCols);
  while (cut(rows, cols) < kWantedTiles &&
         static_cast<double>(rows * cols) * depth > 2.0 * kLeastWork) {
    if (cols >= 2 * kLeastCols) {
      cols = even(n_, cols / 2, kPanelCols);
    } else if (rows >= 2 * kLeastRows) {
      rows = even(m_, rows / 2, 8);
    } else {
      break;
    }
  }
}

std::size_t Convolution::bytes() const {
  return MatrixTiles::bytes() + sizeof(Convolution) - sizeof(MatrixTiles);
}

// The place of the window of column `col`.
void Convolution::find_place(const At& at, std::int64_t col, std::int64_t* place) const {
  const int outer = kWindowAxes - shape_.merged;
  for (int axis = 0; axis < outer; ++axis) place[axis] = at.batch[2 + axis];
  for (int axis = kWindowAxes; axis-- > outer;) {
    place[axis] = col % shape_.window.out[axis];
    col /= shape_.window.out[axis];
  }
}

void Convolution::compute(const Launch& launch, const At& at, void* tile, std::int64_t tile_row,
                          bool apart) const {
  if (is_depthwise(shape_)) {
    slide(launch, at, static_cast<float*>(tile), tile_row);
  } else {
    multiply(launch, at, static_cast<float*>(tile), tile_row, apart);
  }
}

void Convolution::multiply(const Launch& launch, const At& at, float* tile, std::int64_t tile_row,
                           bool apart) const {
  thread_local Scratch scratch;
  const ConvolutionShape& s = shape_;
  const std::int64_t taps = s.window.all_taps();
  const std::int64_t most = std::max<std::int64_t>(kPanelRows / std::max<std::int64_t>(taps, 1), 1);
  auto* const room = reinterpret_cast<float*>(
      scratch.get(static_cast<std::size_t>(most * taps * kPanelCols * kFloat)));
  const std::byte* const x = static_cast<const std::byte*>(launch.arguments[0]) +
                             at.batch[0] * s.image + at.batch[1] * s.inputs * s.channel;
  const std::byte* const weight = static_cast<const std::byte*>(launch.arguments[1]) +
                                  (at.batch[1] * s.outputs + at.row) * s.weight_output;
  WindowPanel panel{.window = &s.window, .channel = s.channel / kFloat, .to = room};
  for (int axis = 0; axis < kWindowAxes; ++axis) panel.move[axis] = s.move[axis] / kFloat;
  for (std::int64_t from = 0; from == 0 || from < s.inputs; from += most) {
    panel.from = reinterpret_cast<const float*>(x + from * s.channel);
    panel.channels = std::min(most, s.inputs - from);
    for (std::int64_t col = 0; col < at.cols; col += kPanelCols) {
      panel.cols = std::min(kPanelCols, at.cols - col);
      find_place(at, at.col + col, panel.place);
      windows_.panel(panel);
      matrix_.outer({.a = weight + from * taps * kFloat,
                     .a_row = s.weight_output / kFloat,
                     .a_col = 1,
                     .b = room,
                     .b_row = kPanelCols,
                     .b_col = 1,
                     .c = tile + col,
                     .c_row = tile_row,
                     .m = at.rows,
                     .n = apart ? kPanelCols : panel.cols,
                     .k = panel.channels * taps,
                     .adds = from > 0});
    }
  }
}

void Convolution::slide(const Launch& launch, const At& at, float* tile,
                        std::int64_t tile_row) const {
  thread_local Scratch scratch;
  const ConvolutionShape& s = shape_;
  const Window& w = s.window;
  std::int64_t place[kWindowAxes];
  find_place(at, at.col, place);
  const std::int64_t lines = at.cols / w.out[2];
  WindowPlane plane{.window = &w, .fold = s.fold, .first = place[1], .lines = lines};
  for (int axis = 0; axis < kWindowAxes; ++axis) plane.move[axis] = s.move[axis] / kFloat;
  plane.room = reinterpret_cast<float*>(
      scratch.get(static_cast<std::size_t>(WindowPlane::floats(w, lines) * kFloat)));
  for (std::int64_t row = 0; row < at.rows; ++row) {
    const std::int64_t output = at.row + row;
    const std::byte* const x = static_cast<const std::byte*>(launch.arguments[0]) +
                               at.batch[0] * s.image + output / s.outputs * s.channel;
    const auto* const weight =
        s.fold != WindowFold::kWeighted
            ? nullptr
            : reinterpret_cast<const float*>(static_cast<const std::byte*>(launch.arguments[1]) +
                                             output * s.weight_output);
    plane.to = tile + row * tile_row;
    plane.adds = false;
    for (std::int64_t tap = 0; tap < w.taps[0]; ++tap) {
      const std::int64_t outer = place[0] * w.stride[0] - w.before[0] + tap * w.dilation[0];
      if (outer < 0 || outer >= w.size[0]) continue;
      plane.from = reinterpret_cast<const float*>(x + outer * s.move[0]);
      if (weight != nullptr) plane.weight = weight + tap * w.taps[1] * w.taps[2];
      windows_.plane(plane);
      plane.adds = true;
    }
    if (plane.adds) continue;
    const float nothing =
        s.fold == WindowFold::kMax ? -std::numeric_limits<float>::infinity() : 0.0f;
    std::fill(plane.to, plane.to + at.cols, nothing);
  }
}

}  // namespace dvm::cpu

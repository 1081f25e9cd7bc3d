#include "cpu/convolution_by_places.h"

#include <algorithm>
#include <limits>

#include "cpu/held.h"
#include "cpu/place_windows.h"
#include "cpu/scratch.h"

namespace dvm::cpu {
namespace {

constexpr std::int64_t kFloat = sizeof(float);
// A tile, and what its rows read, share the second-level cache; for each row and tap there is an address too.
constexpr std::int64_t kMostRows = 128, kMostCols = 128, kMostAddresses = 1 << 13;
// What is gathered for a row is worth more columns.
constexpr std::int64_t kMostGatheredCols = 512;
constexpr std::int64_t kLeastRows = 24, kLeastCols = kPackedCols;
// Elements of a tile of windows over single channels.
constexpr std::int64_t kFoldElements = 1 << 14;
// More rows of a right operand than this are not gathered: the panel leaves the second-level cache.
constexpr std::int64_t kMostGathered = 1024;
constexpr std::int64_t kWantedTiles = 16;
constexpr std::int64_t kLeastWork = 1 << 19;  // multiplications, about 10 microseconds

std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// Parts of nearly equal size, a multiple of `multiple`.
std::int64_t even(std::int64_t size, std::int64_t most, std::int64_t multiple) {
  if (size <= most) return std::max<std::int64_t>(size, 1);
  return divide_up(divide_up(size, divide_up(size, most)), multiple) * multiple;
}

// Images and the axes of the result, outermost first.
constexpr int kPlaceAxes = kWindowAxes + 1;
std::int64_t extent(const ConvolutionShape& s, int axis) {
  return axis == 0 ? s.images : s.window.out[axis - 1];
}

std::vector<std::int64_t> batch_of(const ConvolutionShape& s) {
  std::vector<std::int64_t> batch;
  for (int axis = 0; axis < kPlaceAxes - s.merged; ++axis) batch.push_back(extent(s, axis));
  return batch;
}

std::int64_t rows_of(const ConvolutionShape& s) {
  std::int64_t rows = 1;
  for (int axis = kPlaceAxes - s.merged; axis < kPlaceAxes; ++axis) rows *= extent(s, axis);
  return rows;
}

}  // namespace

bool ConvolutionByPlaces::takes(const ConvolutionShape& shape) {
  if (Convolution::is_depthwise(shape)) return shape.channel == kFloat && shape.outputs == 1;
  return shape.groups == 1 &&
         (shape.channel == kFloat || shape.inputs * shape.window.all_taps() <= kMostGathered);
}

bool ConvolutionByPlaces::gathers(const ConvolutionShape& shape) {
  return shape.channel != kFloat && !Convolution::is_depthwise(shape);
}

ConvolutionByPlaces::ConvolutionByPlaces(const ConvolutionShape& shape, const PlaceWeight& weight,
                                         const KernelTable& kernels)
    : MatrixTiles(batch_of(shape), rows_of(shape), shape.groups * shape.outputs, kFloat,
                  shape.fold == WindowFold::kWeighted ? 2 : 1),
      shape_(shape),
      weight_(weight),
      matrix_(kernels.matrix[product_of(Type::f32, Type::f32)]),
      windows_(kernels.windows),
      depth_(shape.inputs * shape.window.all_taps()) {
  if (!gathers(shape)) {
    const bool largest = shape.fold == WindowFold::kMax;
    nothing_.assign(static_cast<std::size_t>(std::max(shape.inputs, std::min(n_, kMostCols))),
                    largest ? -std::numeric_limits<float>::infinity() : 0.0f);
  }
  choose_tile();
}

void ConvolutionByPlaces::choose_tile() {
  double batch = 1;
  for (const std::int64_t size : batch_) batch *= static_cast<double>(size);
  const auto depth = static_cast<double>(depth_);
  set_work(batch * static_cast<double>(m_) * static_cast<double>(n_) *
           (depth / kProductsPerWork + 1));
  const std::int64_t taps = std::max<std::int64_t>(shape_.window.all_taps(), 1);
  const bool folds = Convolution::is_depthwise(shape_), gathers_rows = gathers(shape_);
  std::int64_t cols = even(n_, gathers_rows ? kMostGatheredCols : kMostCols, kLeastCols);
  std::int64_t most = folds ? std::max<std::int64_t>(kFoldElements / cols, 8) : kMostRows;
  if (gathers_rows) most = std::clamp(kMostRows * kMostCols / cols, kPanelCols, kMostRows);
  const std::int64_t multiple = gathers_rows ? kPanelCols : 8;
  std::int64_t rows = even(m_, std::clamp<std::int64_t>(kMostAddresses / taps, 8, most), multiple);
  while (cut(rows, cols) < kWantedTiles &&
         static_cast<double>(rows * cols) * depth > 2.0 * kLeastWork) {
    if (gathers_rows && rows >= 2 * kPanelCols) {
      rows = even(m_, rows / 2, multiple);
    } else if (cols >= 2 * kLeastCols) {
      cols = even(n_, cols / 2, kLeastCols);
    } else if (!gathers_rows && rows >= 2 * kLeastRows) {
      rows = even(m_, rows / 2, multiple);
    } else {
      break;
    }
  }
}

std::size_t ConvolutionByPlaces::bytes() const {
  return MatrixTiles::bytes() + sizeof(ConvolutionByPlaces) - sizeof(MatrixTiles) +
         held_bytes(nothing_);
}

ConvolutionByPlaces::Place ConvolutionByPlaces::place_of(const At& at, std::int64_t row) const {
  std::int64_t along[kPlaceAxes];
  const int outer = kPlaceAxes - shape_.merged;
  for (int axis = 0; axis < outer; ++axis) along[axis] = at.batch[axis];
  for (int axis = kPlaceAxes; axis-- > outer;) {
    along[axis] = row % extent(shape_, axis);
    row /= extent(shape_, axis);
  }
  return {along[0], {along[1], along[2], along[3]}};
}

void ConvolutionByPlaces::compute(const Launch& launch, const At& at, void* tile,
                                  std::int64_t tile_row, bool /*apart*/) const {
  auto* const to = static_cast<float*>(tile);
  if (Convolution::is_depthwise(shape_)) {
    fold(launch, at, to, tile_row);
  } else if (gathers(shape_)) {
    multiply_gathered(launch, at, to, tile_row);
  } else {
    multiply(launch, at, to, tile_row);
  }
}

// Where the panel of column `col` begins, which is the first of one.
const float* ConvolutionByPlaces::panels(const Launch& launch, std::int64_t col) const {
  const auto* const weight = static_cast<const float*>(launch.arguments[1]);
  return weight + (weight_.packed ? col * depth_ : col);
}

void ConvolutionByPlaces::multiply(const Launch& launch, const At& at, float* tile,
                                   std::int64_t tile_row) const {
  thread_local Scratch scratch;
  const std::int64_t taps = shape_.window.all_taps();
  auto* const rows = reinterpret_cast<const float**>(
      scratch.get(static_cast<std::size_t>(taps * at.rows) * sizeof(const float*)));
  find_rows(static_cast<const float*>(launch.arguments[0]), at, rows);
  windows_.places({.rows = rows,
                   .nothing = nothing_.data(),
                   .taps = taps,
                   .depth = shape_.inputs,
                   .b = panels(launch, at.col),
                   .b_row = weight_.packed ? kPackedCols : weight_.row / kFloat,
                   .b_panel = weight_.packed ? depth_ * kPackedCols : kPackedCols,
                   .c = tile,
                   .c_row = tile_row,
                   .m = at.rows,
                   .n = at.cols});
}

void ConvolutionByPlaces::multiply_gathered(const Launch& launch, const At& at, float* tile,
                                            std::int64_t tile_row) const {
  thread_local Scratch scratch;
  const ConvolutionShape& s = shape_;
  auto* const room = reinterpret_cast<float*>(scratch.get(
      static_cast<std::size_t>(std::max<std::int64_t>(depth_, 1) * kPanelCols * kFloat)));
  const auto* const x = static_cast<const std::byte*>(launch.arguments[0]);
  WindowPanel panel{
      .window = &s.window, .channel = s.channel / kFloat, .channels = s.inputs, .to = room};
  for (int axis = 0; axis < kWindowAxes; ++axis) panel.move[axis] = s.move[axis] / kFloat;
  const std::int64_t* const out = s.window.out;
  for (std::int64_t row = 0; row < at.rows; row += panel.cols) {
    const Place place = place_of(at, at.row + row);
    std::copy(place.at, place.at + kWindowAxes, panel.place);
    // A panel reads one image.
    const std::int64_t before = (place.at[0] * out[1] + place.at[1]) * out[2] + place.at[2];
    panel.cols = std::min({kPanelCols, at.rows - row, out[0] * out[1] * out[2] - before});
    panel.from = reinterpret_cast<const float*>(x + place.image * s.image);
    windows_.panel(panel);
    const MatrixTile product{.a = room,
                             .a_row = 1,
                             .a_col = kPanelCols,
                             .b = panels(launch, at.col),
                             .b_row = weight_.row / kFloat,
                             .b_col = 1,
                             .c = tile + row * tile_row,
                             .c_row = tile_row,
                             .m = panel.cols,
                             .n = at.cols,
                             .k = depth_};
    (weight_.packed ? matrix_.packed : matrix_.outer)(product);
  }
}

void ConvolutionByPlaces::fold(const Launch& launch, const At& at, float* tile,
                               std::int64_t tile_row) const {
  thread_local Scratch scratch;
  const std::int64_t taps = shape_.window.all_taps();
  const std::size_t of_rows = static_cast<std::size_t>(taps * at.rows) * sizeof(const float*);
  auto* const memory = reinterpret_cast<std::byte*>(
      scratch.get(of_rows + static_cast<std::size_t>(taps * at.cols * kFloat)));
  auto* const rows = reinterpret_cast<const float**>(memory);
  auto* const turned = reinterpret_cast<float*>(memory + of_rows);
  find_rows(static_cast<const float*>(launch.arguments[0]) + at.col, at, rows);
  if (shape_.fold == WindowFold::kWeighted) {
    const auto* const weight = static_cast<const std::byte*>(launch.arguments[1]);
    matrix_.panel({.b = weight + at.col * shape_.weight_output,
                   .b_col = shape_.weight_output / kFloat,
                   .from = 0,
                   .to = turned,
                   .to_row = at.cols,
                   .n = at.cols,
                   .k = taps});
  }
  windows_.channels({.rows = rows,
                     .taps = taps,
                     .fold = shape_.fold,
                     .weight = turned,
                     .weight_row = at.cols,
                     .c = tile,
                     .c_row = tile_row,
                     .m = at.rows,
                     .n = at.cols});
}

// What each tap reads in each row of a tile, [taps][rows].
void ConvolutionByPlaces::find_rows(const float* x, const At& at, const float** rows) const {
  Place place = place_of(at, at.row);
  const std::int64_t* const out = shape_.window.out;
  for (std::int64_t row = 0; row < at.rows;) {
    const std::int64_t count = std::min(at.rows - row, out[2] - place.at[2]);
    find_line(x + place.image * (shape_.image / kFloat), place, count, at.rows, rows + row);
    row += count;
    place.at[2] = 0;
    if (++place.at[1] < out[1]) continue;
    place.at[1] = 0;
    if (++place.at[0] < out[0]) continue;
    place.at[0] = 0;
    ++place.image;
  }
}

// The element of an axis that a tap reads, -1 beyond the ends.
static std::int64_t element(const Window& w, int axis, std::int64_t tap, std::int64_t place) {
  std::int64_t at;
  if (w.transposed) {
    const std::int64_t from = place + w.before[axis] - tap * w.dilation[axis];
    if (from < 0 || from % w.stride[axis] != 0) return -1;
    at = from / w.stride[axis];
  } else {
    at = place * w.stride[axis] - w.before[axis] + tap * w.dilation[axis];
  }
  return at < w.size[axis] ? at : -1;
}

// Of `count` places side by side, of which `place` is the first; the rows of a tap are m apart from those of the next.
void ConvolutionByPlaces::find_line(const float* image, const Place& place, std::int64_t count,
                                    std::int64_t m, const float** rows) const {
  const Window& w = shape_.window;
  std::int64_t move[kWindowAxes];
  for (int axis = 0; axis < kWindowAxes; ++axis) move[axis] = shape_.move[axis] / kFloat;
  for (std::int64_t t0 = 0; t0 < w.taps[0]; ++t0) {
    const std::int64_t a = element(w, 0, t0, place.at[0]);
    for (std::int64_t t1 = 0; t1 < w.taps[1]; ++t1) {
      const std::int64_t b = element(w, 1, t1, place.at[1]);
      for (std::int64_t t2 = 0; t2 < w.taps[2]; ++t2, rows += m) {
        if (a < 0 || b < 0) {
          std::fill(rows, rows + count, nothing_.data());
          continue;
        }
        const float* const line = image + a * move[0] + b * move[1];
        if (w.transposed) {
          for (std::int64_t i = 0; i < count; ++i) {
            const std::int64_t c = element(w, 2, t2, place.at[2] + i);
            rows[i] = c < 0 ? nothing_.data() : line + c * move[2];
          }
          continue;
        }
        std::int64_t at = place.at[2] * w.stride[2] - w.before[2] + t2 * w.dilation[2];
        std::int64_t i = 0;
        for (; i < count && at < 0; ++i, at += w.stride[2]) rows[i] = nothing_.data();
        for (; i < count && at < w.size[2]; ++i, at += w.stride[2]) rows[i] = line + at * move[2];
        std::fill(rows + i, rows + count, nothing_.data());
      }
    }
  }
}

}  // namespace dvm::cpu

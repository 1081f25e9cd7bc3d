#include "cpu/product.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "cpu/held.h"
#include "cpu/scratch.h"

namespace dvm::cpu {
namespace {

// A tile and the pieces of both operands that it needs at a time share the second-level cache.
constexpr std::int64_t kMostRows = 128, kMostCols = 128;
constexpr std::int64_t kLeastRows = 24, kLeastCols = 32;
// As many tiles as many threads can share evenly, as long as each is worth more than sharing it costs.
constexpr std::int64_t kWantedTiles = 16;
// From so many rows of a tile on it pays to turn the right operand, and from so many if it must be converted too.
constexpr std::int64_t kPanelRows = 96, kConvertedRows = 24;
// Few rows read what is contiguous along n in long stretches.
constexpr std::int64_t kFewRows = 4, kMostColsOfFewRows = 1024;
constexpr std::int64_t kFloat = sizeof(float);
constexpr std::int64_t kLeastWork = 1 << 19;  // multiplications, about 10 microseconds

bool dots(const ProductShape& s) {
  const ProductTypes& types = kProducts[s.types];
  const bool a = s.a_k == bytes(types.a) || s.k <= 1, b = s.b_k == bytes(types.b) || s.k <= 1;
  return a && b;
}

bool rows_of_b(const ProductShape& s) {
  return s.b.back() == bytes(kProducts[s.types].b) || s.n <= 1;
}

std::int64_t even(std::int64_t size, std::int64_t most, std::int64_t multiple) {
  if (size <= most) return std::max<std::int64_t>(size, 1);
  const std::int64_t parts = (size + most - 1) / most;
  const std::int64_t part = (size + parts - 1) / parts;
  return (part + multiple - 1) / multiple * multiple;
}

}  // namespace

// Where a tile is.
struct Product::At {
  std::int64_t batch[kMaxAxes] = {};
  std::int64_t row = 0, col = 0;
  std::int64_t rows = 0, cols = 0;
  int cut = 0;
};

bool Product::takes(const ProductShape& shape, const KernelTable& kernels) {
  return dots(shape) || (rows_of_b(shape) && kernels_of(shape, kernels).outer != nullptr);
}

const MatrixKernels& Product::kernels_of(const ProductShape& shape, const KernelTable& kernels) {
  if (shape.bits == 0) return kernels.matrix[shape.types];
  return shape.bits == 8 ? kernels.scaled_bytes : kernels.scaled_halves;
}

Product::Product(ProductShape shape, const KernelTable& kernels)
    : shape_(std::move(shape)),
      kernels_(kernels_of(shape_, kernels)),
      a_bytes_(dvm::bytes(kProducts[shape_.types].a)),
      b_bytes_(dvm::bytes(kProducts[shape_.types].b)),
      sum_bytes_(dvm::bytes(kProducts[shape_.types].sum)) {
  if (!takes(shape_, kernels))
    throw std::logic_error("[matmul] the operands lie as no kernel takes them");
  const bool outer = kernels_.outer != nullptr && rows_of_b(shape_);
  const bool dot = dots(shape_) && (shape_.n < kLeastCols || !outer);
  kernel_ = dot ? kernels_.dot : kernels_.outer;
  choose_tile(!dot && shape_.m <= kFewRows ? kMostColsOfFewRows : kMostCols);
  const std::int64_t least = b_bytes_ == sum_bytes_ || shape_.bits != 0
                                 ? kPanelRows
                                 : kConvertedRows;
  if (dot && kernels_.panel != nullptr && tile_m_ >= least && shape_.n >= kLeastCols)
    panel_depth_ = std::min(kPanelDepth * kernels_.panel_group, shape_.k);
}

// One row more than it has of elements, for corrections: see matmul_native.cpp.
std::int64_t Product::panel_bytes() const {
  if (panel_depth_ == 0) return 0;
  const std::int64_t group = kernels_.panel_group;
  return ((panel_depth_ + group - 1) / group + 1) * tile_n_ * sum_bytes_;
}

void Product::choose_tile(std::int64_t most_cols) {
  std::int64_t batch = 1;
  for (const std::int64_t size : shape_.batch) batch *= size;
  tile_m_ = even(shape_.m, kMostRows, 8);
  tile_n_ = even(shape_.n, most_cols, kLeastCols);
  const auto tiles = [&] {
    tiles_m_ = (shape_.m + tile_m_ - 1) / tile_m_;
    tiles_n_ = (shape_.n + tile_n_ - 1) / tile_n_;
    return batch * tiles_m_ * tiles_n_;
  };
  while (tiles() < kWantedTiles && tile_m_ * tile_n_ * shape_.k > 2 * kLeastWork) {
    if (tile_n_ >= 2 * kLeastCols) {
      tile_n_ = even(shape_.n, tile_n_ / 2, kLeastCols);
    } else if (tile_m_ >= 2 * kLeastRows) {
      tile_m_ = even(shape_.m, tile_m_ / 2, 8);
    } else {
      break;
    }
  }
  blocks_ = shape_.m == 0 || shape_.n == 0 ? 0 : tiles();
  work_ = static_cast<double>(batch * shape_.m) * static_cast<double>(shape_.n) *
          (static_cast<double>(shape_.k) / kProductsPerWork + 1);
}

std::int64_t Product::rows(int cut) const {
  const std::int64_t last = shape_.m - (tiles_m_ - 1) * tile_m_;
  if ((cut & 1) != 0) return last == tile_m_ ? 0 : last;
  return tiles_m_ > 1 || last == tile_m_ ? tile_m_ : 0;
}

std::int64_t Product::cols(int cut) const {
  const std::int64_t last = shape_.n - (tiles_n_ - 1) * tile_n_;
  if ((cut & 2) != 0) return last == tile_n_ ? 0 : last;
  return tiles_n_ > 1 || last == tile_n_ ? tile_n_ : 0;
}

void Product::write(ProductStrides result) { result_ = std::move(result); }

void Product::finish(std::span<const std::vector<Word>> words, std::vector<ProductStrides> strides,
                     const KernelTable& kernels) {
  epilogue_ = std::move(strides);
  std::size_t shapes = words.size();
  while (shapes > 0 && words[shapes - 1].empty()) --shapes;
  routines_.resize(shapes);
  for (std::size_t i = 0; i < shapes; ++i) {
    if (!words[i].empty()) routines_[i].bind(words[i], kernels);
  }
  if (!words[0].empty()) work_ += routines_[0].work * static_cast<double>(blocks_);
}

std::size_t Product::bytes() const {
  std::size_t total = sizeof(Product) + held_bytes(shape_.batch) + held_bytes(shape_.a) +
                      held_bytes(shape_.scales) + held_bytes(shape_.b) + held_bytes(result_) +
                      held_bytes(epilogue_) + held_bytes(routines_);
  for (const ProductStrides& strides : epilogue_) total += held_bytes(strides);
  for (const Routine& routine : routines_) total += routine.bytes() - sizeof(routine);
  return total;
}

std::int64_t Product::offset(const ProductStrides& strides, const At& at) const {
  std::int64_t bytes = 0;
  const std::size_t batch = shape_.batch.size();
  for (std::size_t i = 0; i < batch; ++i) bytes += at.batch[i] * strides[i];
  return bytes + at.row * strides[batch] + at.col * strides[batch + 1];
}

void Product::compute(const Launch& launch, const At& at, void* tile, std::int64_t tile_row,
                      void* panel) const {
  const std::size_t batch = shape_.batch.size();
  const auto* const a = static_cast<const std::byte*>(launch.arguments[0]);
  const auto* const b = static_cast<const std::byte*>(launch.arguments[1]);
  MatrixTile whole{.a = a + offset(shape_.a, at),
                   .a_row = shape_.a[batch] / a_bytes_,
                   .a_col = shape_.a_k / a_bytes_,
                   .b = b + offset(shape_.b, at),
                   .b_row = shape_.b_k / b_bytes_,
                   .b_col = shape_.b[batch + 1] / b_bytes_,
                   .c = tile,
                   .c_row = tile_row,
                   .m = at.rows,
                   .n = at.cols,
                   .k = shape_.k};
  if (shape_.bits != 0) {
    const auto* const scales = static_cast<const std::byte*>(launch.arguments[2]);
    whole.scales = {.at = reinterpret_cast<const float*>(scales + offset(shape_.scales, at)),
                    .row = shape_.scales_k / kFloat,
                    .col = shape_.scales[batch + 1] / kFloat,
                    .group = shape_.k / shape_.groups};
  }
  if (panel_depth_ == 0) return kernel_(whole);
  const auto* const left = static_cast<const std::byte*>(whole.a);
  const void* const right = whole.b;
  const std::int64_t columns = whole.b_col;
  whole.b = panel;
  whole.b_row = tile_n_;
  whole.b_col = 1;
  for (std::int64_t from = 0; from == 0 || from < shape_.k; from += panel_depth_) {
    whole.k = std::min(panel_depth_, shape_.k - from);
    kernels_.panel({.b = right,
                    .b_col = columns,
                    .from = from,
                    .to = panel,
                    .to_row = tile_n_,
                    .n = at.cols,
                    .k = whole.k,
                    .scales = whole.scales});
    whole.a = left + from * shape_.a_k;
    whole.adds = from > 0;
    kernels_.outer_of_panel(whole);
  }
}

void Product::run_epilogue(const Launch& launch, const At& at, void* tile) const {
  void* arguments[kMaxSlots];
  int next = operands();
  for (std::size_t i = 0; i < epilogue_.size(); ++i) {
    arguments[i] = epilogue_[i].empty() ? tile
                                        : static_cast<std::byte*>(launch.arguments[next++]) +
                                              offset(epilogue_[i], at);
  }
  const Routine& routine = routines_[at.cut];
  run_blocks(routine, {arguments, launch.scalars}, 0, routine.blocks.total);
}

void Product::run(const Launch& launch, std::int64_t first, std::int64_t end) const {
  thread_local Scratch scratch;
  const std::int64_t of_panel = panel_bytes();
  const std::int64_t tile_bytes = epilogue_.empty() ? 0 : tile_m_ * tile_n_ * sum_bytes_;
  auto* const panel = of_panel + tile_bytes == 0
                          ? nullptr
                          : reinterpret_cast<std::byte*>(
                                scratch.get(static_cast<std::size_t>(of_panel + tile_bytes)));
  void* const tile = panel + of_panel;
  for (std::int64_t block = first; block < end; ++block) {
    At at;
    // Tiles of one column of tiles follow each other: they read the same piece of b.
    std::int64_t left = block;
    at.row = left % tiles_m_ * tile_m_;
    left /= tiles_m_;
    at.col = left % tiles_n_ * tile_n_;
    left /= tiles_n_;
    for (std::size_t i = shape_.batch.size(); i-- > 0;) {
      at.batch[i] = left % shape_.batch[i];
      left /= shape_.batch[i];
    }
    at.rows = std::min(tile_m_, shape_.m - at.row);
    at.cols = std::min(tile_n_, shape_.n - at.col);
    at.cut = (at.rows < tile_m_ ? 1 : 0) | (at.cols < tile_n_ ? 2 : 0);
    if (epilogue_.empty()) {
      auto* const result =
          static_cast<std::byte*>(launch.arguments[operands()]) + offset(result_, at);
      compute(launch, at, result, result_[shape_.batch.size()] / sum_bytes_, panel);
    } else {
      compute(launch, at, tile, tile_n_, panel);
      run_epilogue(launch, at, tile);
    }
  }
}

}  // namespace dvm::cpu

#include "cpu/product.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "cpu/held.h"
#include "cpu/packing.h"
#include "cpu/scratch.h"

namespace dvm::cpu {
namespace {

// A tile and the pieces of both operands that it needs at a time share the second-level cache.
constexpr std::int64_t kMostRows = 128, kMostCols = 128;
constexpr std::int64_t kLeastRows = 24, kLeastCols = 32;
// As many tiles as many threads can share evenly, as long as each is worth more than sharing it costs.
constexpr std::int64_t kWantedTiles = 16;
// From so many rows of a tile on it pays to turn the right operand, and from so many if it must be converted too.
constexpr std::int64_t kPanelRows = 48, kConvertedRows = 24;
// Few rows read what is contiguous along n in long stretches.
constexpr std::int64_t kFewRows = 4, kMostColsOfFewRows = 1024;
constexpr std::int64_t kFloat = sizeof(float);
constexpr std::int64_t kLeastWork = 1 << 19;  // multiplications, about 10 microseconds

bool a_along_k(const ProductShape& s) { return s.a_k == bytes(kProducts[s.types].a) || s.k <= 1; }

bool dots(const ProductShape& s) {
  return a_along_k(s) && (s.b_k == bytes(kProducts[s.types].b) || s.k <= 1);
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

bool Product::takes(const ProductShape& shape, const KernelTable& kernels) {
  if (shape.packed) return kernels_of(shape, kernels).panel_group == 1 || a_along_k(shape);
  return dots(shape) || (rows_of_b(shape) && kernels_of(shape, kernels).outer != nullptr);
}

const MatrixKernels& Product::kernels_of(const ProductShape& shape, const KernelTable& kernels) {
  if (shape.bits == 0) return kernels.matrix[shape.types];
  return shape.bits == 8 ? kernels.scaled_bytes : kernels.scaled_halves;
}

Product::Product(ProductShape shape, const KernelTable& kernels)
    : MatrixTiles(shape.batch, shape.m, shape.n, dvm::bytes(kProducts[shape.types].sum),
                  shape.bits == 0 ? 2 : 3),
      shape_(std::move(shape)),
      kernels_(kernels_of(shape_, kernels)) {
  if (!takes(shape_, kernels))
    throw std::logic_error("[matmul] the operands lie as no kernel takes them");
  if (shape_.packed) {
    kernel_ = kernels_.packed;
    packed_panel_ = panel_bytes(shape_.types, shape_.k, kernels);
    choose_tile(kMostCols);
    return;
  }
  const bool outer = kernels_.outer != nullptr && rows_of_b(shape_);
  const bool dot = dots(shape_) && (shape_.n < kLeastCols || !outer);
  kernel_ = dot ? kernels_.dot : kernels_.outer;
  choose_tile(!dot && shape_.m <= kFewRows ? kMostColsOfFewRows : kMostCols);
  const bool converts = dvm::bytes(kProducts[shape_.types].b) != element_ && shape_.bits == 0;
  if (dot && kernels_.panel != nullptr && rows(0) >= (converts ? kConvertedRows : kPanelRows) &&
      shape_.n >= kLeastCols)
    panel_depth_ = std::min(kPanelDepth * kernels_.panel_group, shape_.k);
}

void Product::choose_tile(std::int64_t most_cols) {
  std::int64_t rows = even(shape_.m, kMostRows, 8), cols = even(shape_.n, most_cols, kLeastCols);
  while (cut(rows, cols) < kWantedTiles && rows * cols * shape_.k > 2 * kLeastWork) {
    if (cols >= 2 * kLeastCols) {
      cols = even(shape_.n, cols / 2, kLeastCols);
    } else if (rows >= 2 * kLeastRows) {
      rows = even(shape_.m, rows / 2, 8);
    } else {
      break;
    }
  }
  double batch = 1;
  for (const std::int64_t size : shape_.batch) batch *= static_cast<double>(size);
  set_work(batch * static_cast<double>(shape_.m) * static_cast<double>(shape_.n) *
           (static_cast<double>(shape_.k) / kProductsPerWork + 1));
}

std::size_t Product::bytes() const {
  return MatrixTiles::bytes() + sizeof(Product) - sizeof(MatrixTiles) + held_bytes(shape_.batch) +
         held_bytes(shape_.a) + held_bytes(shape_.b) + held_bytes(shape_.scales);
}

void Product::compute(const Launch& launch, const At& at, void* tile, std::int64_t tile_row,
                      bool /*apart*/) const {
  const std::size_t batch = shape_.batch.size();
  const auto* const a = static_cast<const std::byte*>(launch.arguments[0]);
  const auto* const b = static_cast<const std::byte*>(launch.arguments[1]);
  const ProductTypes& types = kProducts[shape_.types];
  const std::int64_t of_a = dvm::bytes(types.a), of_b = dvm::bytes(types.b);
  MatrixTile whole{.a = a + offset(shape_.a, at),
                   .a_row = shape_.a[batch] / of_a,
                   .a_col = shape_.a_k / of_a,
                   .b = b + offset(shape_.b, at),
                   .b_row = shape_.b_k / of_b,
                   .b_col = shape_.b[batch + 1] / of_b,
                   .c = tile,
                   .c_row = tile_row,
                   .m = at.rows,
                   .n = at.cols,
                   .k = shape_.k};
  if (shape_.packed) {
    whole.b = b + at.col / kPackedCols * packed_panel_;  // tiles begin where panels do
  }
  if (shape_.bits != 0) {
    const auto* const scales = static_cast<const std::byte*>(launch.arguments[2]);
    whole.scales = {.at = reinterpret_cast<const float*>(scales + offset(shape_.scales, at)),
                    .row = shape_.scales_k / kFloat,
                    .col = shape_.scales[batch + 1] / kFloat,
                    .group = shape_.k / shape_.groups};
  }
  if (panel_depth_ == 0) {
    kernel_(whole);
  } else {
    compute_by_panels(whole);
  }
}

void Product::compute_by_panels(MatrixTile tile) const {
  thread_local Scratch scratch;
  const std::int64_t columns = tile.n, group = kernels_.panel_group;
  // A row more than it has of elements, for corrections: see matmul_native.cpp.
  const std::int64_t rows = (panel_depth_ + group - 1) / group + 1;
  void* const panel =
      reinterpret_cast<void*>(scratch.get(static_cast<std::size_t>(rows * columns * element_)));
  const auto* const left = static_cast<const std::byte*>(tile.a);
  PanelTile piece{.b = tile.b,
                  .b_col = tile.b_col,
                  .from = 0,
                  .to = panel,
                  .to_row = columns,
                  .n = columns,
                  .k = 0,
                  .scales = tile.scales};
  tile.b = panel;
  tile.b_row = columns;
  tile.b_col = 1;
  for (; piece.from < shape_.k; piece.from += panel_depth_) {
    piece.k = tile.k = std::min(panel_depth_, shape_.k - piece.from);
    kernels_.panel(piece);
    tile.a = left + piece.from * shape_.a_k;
    tile.adds = piece.from > 0;
    kernels_.outer_of_panel(tile);
  }
}

}  // namespace dvm::cpu

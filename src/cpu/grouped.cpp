#include "cpu/grouped.h"

#include <algorithm>

#include "cpu/scratch.h"

namespace dvm::cpu {
namespace {

// A tile and the pieces of both operands that it needs at a time share the second-level cache.
constexpr std::int64_t kRows = 64, kCols = 128;
constexpr std::int64_t kLeastCols = 32;
// Groups of so few rows read what is contiguous along n in long stretches.
constexpr std::int64_t kFewRows = 4, kColsOfFewRows = 1024;
// From so many rows on it pays to turn the right operand.
constexpr std::int64_t kPanelRows = 32;

std::int64_t at(const void* ends, Type type, std::int64_t offset) {
  const auto* const end = static_cast<const std::byte*>(ends) + offset;
  return type == Type::i32 ? *reinterpret_cast<const std::int32_t*>(end)
                           : *reinterpret_cast<const std::int64_t*>(end);
}

}  // namespace

// Rows [first, first + count) of group `group`, or of none: -1.
struct Grouped::Rows {
  std::int64_t group = -1, first = 0, count = 0;
};

Grouped::Grouped(const GroupedShape& shape, const KernelTable& kernels)
    : shape_(shape), kernels_(kernels.matrix[shape.types]) {
  const ProductTypes& types = kProducts[shape_.types];
  const bool dots =
      (shape_.a_k == dvm::bytes(types.a) && shape_.b_k == dvm::bytes(types.b)) || shape_.k <= 1;
  outer_ = kernels_.outer != nullptr && shape_.b_n == dvm::bytes(types.b) &&
           !(dots && shape_.n < kLeastCols);
  const bool few = outer_ && shape_.rows <= shape_.groups * kFewRows;
  cols_ = std::max<std::int64_t>(std::min(shape_.n, few ? kColsOfFewRows : kCols), 1);
  // Each group, and the rows of none, may end with a tile that is not full.
  tiles_of_rows_ = std::min(shape_.groups, shape_.rows) + 1 + shape_.rows / kRows;
  blocks_ = tiles_of_rows_ * ((shape_.n + cols_ - 1) / cols_);
  work_ = static_cast<double>(shape_.rows) * static_cast<double>(shape_.n) *
          (static_cast<double>(shape_.k) / kProductsPerWork + 1);
}

Grouped::Rows Grouped::rows_of(const void* ends, std::int64_t tile) const {
  std::int64_t begin = 0;
  for (std::int64_t group = 0; group <= shape_.groups; ++group) {
    const bool none = group == shape_.groups;
    const std::int64_t end =
        none ? shape_.rows
             : std::clamp(at(ends, shape_.end_type, group * shape_.end), begin, shape_.rows);
    const std::int64_t tiles = (end - begin + kRows - 1) / kRows;
    if (tile < tiles) {
      const std::int64_t first = begin + tile * kRows;
      return {.group = none ? -1 : group, .first = first, .count = std::min(kRows, end - first)};
    }
    tile -= tiles;
    begin = end;
  }
  return {};
}

void Grouped::run(const Launch& launch, std::int64_t first, std::int64_t end) const {
  for (std::int64_t block = first; block < end; ++block) {
    // Tiles of one column of tiles follow each other: those of a group read the same piece of its matrix.
    const Rows rows = rows_of(launch.arguments[2], block % tiles_of_rows_);
    if (rows.count > 0) compute(launch, rows, block / tiles_of_rows_ * cols_);
  }
}

void Grouped::compute(const Launch& launch, const Rows& rows, std::int64_t col) const {
  const GroupedShape& s = shape_;
  const ProductTypes& types = kProducts[s.types];
  const std::int64_t of_a = dvm::bytes(types.a), of_b = dvm::bytes(types.b),
                     of_c = dvm::bytes(types.sum);
  const std::int64_t cols = std::min(cols_, s.n - col);
  auto* const c =
      static_cast<std::byte*>(launch.arguments[3]) + rows.first * s.result_row + col * of_c;
  if (rows.group < 0 || s.k == 0) {
    for (std::int64_t r = 0; r < rows.count; ++r)
      std::fill_n(c + r * s.result_row, cols * of_c, std::byte{0});
    return;
  }
  const auto* const a = static_cast<const std::byte*>(launch.arguments[0]);
  const auto* const b = static_cast<const std::byte*>(launch.arguments[1]);
  const MatrixTile tile{.a = a + rows.first * s.a_row,
                        .a_row = s.a_row / of_a,
                        .a_col = s.a_k / of_a,
                        .b = b + rows.group * s.b_group + col * s.b_n,
                        .b_row = s.b_k / of_b,
                        .b_col = s.b_n / of_b,
                        .c = c,
                        .c_row = s.result_row / of_c,
                        .m = rows.count,
                        .n = cols,
                        .k = s.k};
  if (outer_) {
    kernels_.outer(tile);
  } else if (kernels_.panel != nullptr && rows.count >= kPanelRows && cols >= kLeastCols) {
    compute_by_panels(tile);
  } else {
    kernels_.dot(tile);
  }
}

void Grouped::compute_by_panels(MatrixTile tile) const {
  thread_local Scratch scratch;
  const ProductTypes& types = kProducts[shape_.types];
  const std::int64_t group = kernels_.panel_group, depth = std::min(kPanelDepth * group, tile.k);
  // A row more than it has of elements, for corrections: see matmul_native.cpp.
  const std::int64_t rows = (depth + group - 1) / group + 1;
  const auto bytes = static_cast<std::size_t>(rows * tile.n * dvm::bytes(types.sum));
  PanelTile piece{.b = tile.b,
                  .b_col = tile.b_col,
                  .from = 0,
                  .to = reinterpret_cast<void*>(scratch.get(bytes)),
                  .to_row = tile.n,
                  .n = tile.n,
                  .k = 0};
  const auto* const left = static_cast<const std::byte*>(tile.a);
  const std::int64_t whole = tile.k;
  tile.b = piece.to;
  tile.b_row = tile.n;
  tile.b_col = 1;
  for (; piece.from < whole; piece.from += depth) {
    piece.k = tile.k = std::min(depth, whole - piece.from);
    kernels_.panel(piece);
    tile.a = left + piece.from * dvm::bytes(types.a);
    tile.adds = piece.from > 0;
    kernels_.outer_of_panel(tile);
  }
}

}  // namespace dvm::cpu

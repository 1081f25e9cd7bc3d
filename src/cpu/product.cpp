#include "cpu/product.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "cpu/held.h"

namespace dvm::cpu {
namespace {

// A tile and the pieces of both operands that it needs at a time share the second-level cache.
constexpr std::int64_t kMostRows = 128, kMostCols = 128;
constexpr std::int64_t kLeastRows = 24, kLeastCols = 32;
// As many tiles as many threads can share evenly, as long as each is worth more than sharing it costs.
constexpr std::int64_t kWantedTiles = 16;
constexpr std::int64_t kLeastWork = 1 << 19;  // multiplications, about 10 microseconds

bool dots(const ProductShape& s, std::int64_t element) {
  const bool a = s.a_k == element || s.k <= 1, b = s.b_k == element || s.k <= 1;
  return a && b;
}

bool rows_of_b(const ProductShape& s, std::int64_t element) {
  return s.b.back() == element || s.n <= 1;
}

std::int64_t even(std::int64_t size, std::int64_t most, std::int64_t multiple) {
  if (size <= most) return std::max<std::int64_t>(size, 1);
  const std::int64_t parts = (size + most - 1) / most;
  const std::int64_t part = (size + parts - 1) / parts;
  return (part + multiple - 1) / multiple * multiple;
}

}  // namespace

bool Product::takes(const ProductShape& shape) {
  const std::int64_t element = dvm::bytes(shape.type);
  return rows_of_b(shape, element) || dots(shape, element);
}

Product::Product(ProductShape shape, const KernelTable& kernels)
    : MatrixTiles(shape.batch, shape.m, shape.n, dvm::bytes(shape.type)), shape_(std::move(shape)) {
  const MatrixKernels& of_type = shape_.type == Type::f64 ? kernels.matrix_f64 : kernels.matrix_f32;
  const bool dot =
      dots(shape_, element_) && (shape_.n < kLeastCols || !rows_of_b(shape_, element_));
  if (!dot && !rows_of_b(shape_, element_))
    throw std::logic_error("[matmul] the operands lie as no kernel takes them");
  kernel_ = dot ? of_type.dot : of_type.outer;
  choose_tile();
}

void Product::choose_tile() {
  std::int64_t rows = even(shape_.m, kMostRows, 8), cols = even(shape_.n, kMostCols, kLeastCols);
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
         held_bytes(shape_.a) + held_bytes(shape_.b);
}

void Product::compute(const Launch& launch, const At& at, void* tile, std::int64_t tile_row,
                      bool /*apart*/) const {
  const std::size_t batch = shape_.batch.size();
  const auto* const a = static_cast<const std::byte*>(launch.arguments[0]);
  const auto* const b = static_cast<const std::byte*>(launch.arguments[1]);
  kernel_({.a = a + offset(shape_.a, at),
           .a_row = shape_.a[batch] / element_,
           .a_col = shape_.a_k / element_,
           .b = b + offset(shape_.b, at),
           .b_row = shape_.b_k / element_,
           .b_col = shape_.b[batch + 1] / element_,
           .c = tile,
           .c_row = tile_row,
           .m = at.rows,
           .n = at.cols,
           .k = shape_.k});
}

}  // namespace dvm::cpu

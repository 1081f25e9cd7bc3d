#include "runtime/matmul_plan.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>

#include "cpu/dispatch.h"

namespace dvm {
namespace {

// The stride of an operand along dimension `dim` of a result of rank `rank`, as broadcasting aligns them.
std::int64_t stride_along(const Layout& operand, int rank, int dim) {
  const int own = dim - (rank - operand.rank);
  return own < 0 || operand.sizes[own] == 1 ? 0 : operand.strides[own];
}

}  // namespace

MatmulPlan::MatmulPlan(int types, int bits, std::span<const std::int64_t> sizes,
                       std::span<const Layout* const> operands)
    : rank_(static_cast<int>(sizes.size())) {
  const Layout &a = *operands[0], &b = *operands[1];
  shape_.types = types;
  shape_.bits = bits;
  shape_.batch.assign(sizes.begin(), sizes.end() - 2);
  shape_.m = sizes[sizes.size() - 2];
  shape_.n = sizes.back();
  shape_.k = a.sizes[a.rank - 1];
  for (int dim = 0; dim + 2 < rank_; ++dim) {
    shape_.a.push_back(stride_along(a, rank_, dim));
    shape_.b.push_back(stride_along(b, rank_, dim));
  }
  shape_.a.insert(shape_.a.end(), {stride_along(a, rank_, rank_ - 2), 0});
  shape_.b.insert(shape_.b.end(), {0, stride_along(b, rank_, rank_ - 1)});
  shape_.a_k = stride_along(a, rank_, rank_ - 1);
  shape_.b_k = stride_along(b, rank_, rank_ - 2);
  row_dims_ = {rank_ - 2};
  if (bits == 0) return;
  if (b.sizes[b.rank - 2] == 1) shape_.b_k = bytes(kProducts[types].b);
  const Layout& scales = *operands[2];
  for (int dim = 0; dim + 2 < rank_; ++dim)
    shape_.scales.push_back(stride_along(scales, rank_, dim));
  shape_.scales.insert(shape_.scales.end(), {0, stride_along(scales, rank_, rank_ - 1)});
  shape_.scales_k = stride_along(scales, rank_, rank_ - 2);
  shape_.groups = std::max<std::int64_t>(scales.sizes[scales.rank - 2], 1);
  if (shape_.k % shape_.groups != 0) {
    throw std::invalid_argument("[matmul] " + std::to_string(shape_.k) +
                                " elements along k do not part into " +
                                std::to_string(shape_.groups) + " groups of one scale each");
  }
}

int MatmulPlan::operand_to_copy() const {
  if (cpu::Product::takes(shape_, *cpu::isa().kernels)) return -1;
  const ProductTypes& types = kProducts[shape_.types];
  if (copies_columns()) return shape_.a_k == bytes(types.a) || shape_.k <= 1 ? 1 : 0;
  return shape_.b_k == bytes(types.b) ? 0 : 1;
}

bool MatmulPlan::copies_columns() const {
  return cpu::Product::kernels_of(shape_, *cpu::isa().kernels).outer == nullptr;
}

std::vector<int> MatmulPlan::copy_order(int operand, int rank) const {
  if (operand == 0 || !copies_columns()) return {};
  std::vector<int> order(static_cast<std::size_t>(rank));
  std::iota(order.begin(), order.end(), 0);
  std::swap(order.end()[-1], order.end()[-2]);
  return order;
}

bool MatmulPlan::writes(const Layout& result) const {
  return contiguous_at_end(result, bytes(kProducts[shape_.types].sum));
}

std::optional<cpu::PackForm> MatmulPlan::pack() {
  const auto moves = [](std::int64_t stride) { return stride != 0; };
  const auto batch_end = shape_.b.begin() + static_cast<std::ptrdiff_t>(shape_.batch.size());
  if (shape_.bits != 0 || std::any_of(shape_.b.begin(), batch_end, moves)) return {};
  const cpu::PackForm form{.types = shape_.types,
                           .n = shape_.n,
                           .k = shape_.k,
                           .n_stride = shape_.b.back(),
                           .k_stride = shape_.b_k};
  if (!cpu::packs(form, *cpu::isa().kernels)) return {};
  shape_.packed = true;
  shape_.b.back() = 0;
  return form;
}

// Whether batch axis `outer` and what stands behind it, be it the rows, is one axis in every tensor.
bool MatmulPlan::merges(std::size_t outer, const std::vector<cpu::MatrixStrides>& tensors) const {
  const bool rows = outer + 1 == shape_.batch.size();
  const std::int64_t inner = rows ? shape_.m : shape_.batch[outer + 1];
  if (rows && shape_.batch[outer] != 1 && shape_.b[outer] != 0) return false;
  const auto one_axis = [&](const cpu::MatrixStrides& strides) {
    return strides.empty() || strides[outer] == inner * strides[outer + 1];
  };
  return inner == 1 || shape_.batch[outer] == 1 ||
         (one_axis(shape_.a) && one_axis(shape_.b) && one_axis(shape_.scales) &&
          std::ranges::all_of(tensors, one_axis));
}

// A linear layer of a batch of sequences is one product of all their rows.
void MatmulPlan::collapse(std::vector<cpu::MatrixStrides>& tensors) {
  for (std::size_t outer = shape_.batch.size(); outer-- > 0;) {
    if (!merges(outer, tensors)) continue;
    const bool rows = outer + 1 == shape_.batch.size();
    std::int64_t& inner = rows ? shape_.m : shape_.batch[outer + 1];
    // Of an axis of size 1 the stride means nothing.
    const std::size_t gone = inner == 1 ? outer + 1 : outer;
    const auto drop = [&](cpu::MatrixStrides& strides) {
      if (!strides.empty()) strides.erase(strides.begin() + static_cast<std::ptrdiff_t>(gone));
    };
    drop(shape_.a);
    drop(shape_.b);
    drop(shape_.scales);
    std::ranges::for_each(tensors, drop);
    inner *= shape_.batch[outer];
    shape_.batch.erase(shape_.batch.begin() + static_cast<std::ptrdiff_t>(outer));
    if (rows) row_dims_.insert(row_dims_.begin(), static_cast<int>(outer));
  }
}

std::unique_ptr<cpu::Product> MatmulPlan::write(const Layout& result) {
  std::vector<cpu::MatrixStrides> tensors(1);
  tensors[0].assign(result.strides, result.strides + result.rank);
  collapse(tensors);
  auto product = std::make_unique<cpu::Product>(shape_, *cpu::isa().kernels);
  product->write(std::move(tensors[0]));
  return product;
}

std::unique_ptr<cpu::Product> MatmulPlan::finish(const TileEpilogue& epilogue,
                                                 std::vector<Program>* programs) {
  std::vector<cpu::MatrixStrides> tensors = epilogue.strides();
  collapse(tensors);
  auto product = std::make_unique<cpu::Product>(shape_, *cpu::isa().kernels);
  epilogue.attach(*product, std::move(tensors), row_dims_, {rank_ - 1}, programs);
  return product;
}

}  // namespace dvm

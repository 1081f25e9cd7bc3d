#include "runtime/matmul_plan.h"

#include <algorithm>
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

MatmulPlan::MatmulPlan(Type type, std::span<const std::int64_t> sizes, const Layout& a,
                       const Layout& b)
    : rank_(static_cast<int>(sizes.size())) {
  shape_.type = type;
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
}

int MatmulPlan::operand_to_copy() const {
  if (cpu::Product::takes(shape_)) return -1;
  return shape_.b_k == dvm::bytes(shape_.type) ? 0 : 1;
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
         (one_axis(shape_.a) && one_axis(shape_.b) && std::ranges::all_of(tensors, one_axis));
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

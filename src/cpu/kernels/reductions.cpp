// The reductions of the table and the loops that run them, by compute type.

#include "cpu/kernels/arg_reduce.h"
#include "cpu/kernels/install.h"
#include "cpu/kernels/reduce.h"
#include "cpu/kernels/types.h"

namespace dvm::cpu {
namespace {

template <class F>
void install_fold(KernelTable& table, Op op, Type type) {
  table.kernels[opcode(op, type)][kFoldInner] = fold_inner<F>;
  table.kernels[opcode(op, type)][kFoldOuter] = fold_outer<F>;
}

template <class F>
void install_fold_of_two(KernelTable& table, Op op, Type type) {
  Kernel* const kernels = table.kernels[opcode(op, type)];
  kernels[kFoldInner] = fold_inner<F, RowsOfTwo<F, false>>;
  kernels[kFoldOuter] = fold_outer<F, RowsOfTwo<F, false>>;
  kernels[kFoldInner | kFoldBroadcast] = fold_inner<F, RowsOfTwo<F, true>>;
  kernels[kFoldOuter | kFoldBroadcast] = fold_outer<F, RowsOfTwo<F, true>>;
}

template <Type type>
void install_folds(KernelTable& table) {
  using T = CType<type>;
  install_fold<Max<T>>(table, Op::max, type);
  install_fold<Min<T>>(table, Op::min, type);
  if constexpr (type == Type::bool_) {
    install_fold<Max<T>>(table, Op::any, type);
    install_fold<Min<T>>(table, Op::all, type);
  } else {
    install_fold<Sum<T>>(table, Op::sum, type);
    install_fold<Prod<T>>(table, Op::prod, type);
  }
  if constexpr (std::is_floating_point_v<T>) {
    install_fold<SumSquares<T>>(table, Op::sum_squares, type);
    install_fold_of_two<SumProducts<T>>(table, Op::sum_products, type);
    install_fold_of_two<SumSquareDiff<T>>(table, Op::sum_square_diff, type);
  }
  table.kernels[opcode(Op::argmax, type)][kFoldInner] = arg_inner<T, false>;
  table.kernels[opcode(Op::argmax, type)][kFoldOuter] = arg_outer<T, false>;
  table.kernels[opcode(Op::argmin, type)][kFoldInner] = arg_inner<T, true>;
  table.kernels[opcode(Op::argmin, type)][kFoldOuter] = arg_outer<T, true>;
}

}  // namespace

void install_reductions(KernelTable& table) {
  install_folds<Type::f32>(table);
  install_folds<Type::f64>(table);
  install_folds<Type::i32>(table);
  install_folds<Type::i64>(table);
  install_folds<Type::bool_>(table);
}

}  // namespace dvm::cpu

#include "cpu/kernels/install.h"
#include "cpu/kernels/reduce.h"

namespace dvm::cpu {

void install_reductions(KernelTable& table) {
  install_folds<Type::f32>(table);
  install_folds<Type::f64>(table);
  install_folds<Type::i32>(table);
  install_folds<Type::i64>(table);
  install_folds<Type::bool_>(table);
}

}  // namespace dvm::cpu

#include "cpu/kernels/elementwise.h"
#include "cpu/kernels/install.h"

namespace dvm::cpu {

void install_unary_integers(KernelTable& table) {
  install_rows<Type::i32, 1, false>(table);
  install_rows<Type::i64, 1, false>(table);
  install_rows<Type::bool_, 1, false>(table);
}

}  // namespace dvm::cpu

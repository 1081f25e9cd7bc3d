#include "cpu/kernels/elementwise.h"
#include "cpu/kernels/install.h"

namespace dvm::cpu {

void install_ternary_integers(KernelTable& table) {
  install_rows<Type::i32, 3, false>(table);
  install_rows<Type::i64, 3, false>(table);
  install_rows<Type::bool_, 3, false>(table);
}

}  // namespace dvm::cpu

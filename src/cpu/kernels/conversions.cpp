#include "cpu/kernels/elementwise.h"
#include "cpu/kernels/install.h"

namespace dvm::cpu {

void install_conversions(KernelTable& table) {
  install_rows<Type::f32, 1, true>(table);
  install_rows<Type::f64, 1, true>(table);
  install_rows<Type::i32, 1, true>(table);
  install_rows<Type::i64, 1, true>(table);
  install_rows<Type::bool_, 1, true>(table);
  install_rows<Type::f16, 1, true>(table);
  install_rows<Type::bf16, 1, true>(table);
  install_rows<Type::i8, 1, true>(table);
  install_rows<Type::u8, 1, true>(table);
  install_rows<Type::i16, 1, true>(table);
}

}  // namespace dvm::cpu

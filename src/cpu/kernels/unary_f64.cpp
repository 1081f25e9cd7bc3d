#include "cpu/kernels/elementwise.h"
#include "cpu/kernels/install.h"

namespace dvm::cpu {

void install_unary_f64(KernelTable& table) { install_rows<Type::f64, 1, false>(table); }

}  // namespace dvm::cpu

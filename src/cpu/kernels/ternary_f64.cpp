#include "cpu/kernels/elementwise.h"
#include "cpu/kernels/install.h"

namespace dvm::cpu {

void install_ternary_f64(KernelTable& table) { install_rows<Type::f64, 3, false>(table); }

}  // namespace dvm::cpu

#include "cpu/kernels/elementwise.h"
#include "cpu/kernels/install.h"

namespace dvm::cpu {

void install_binary_f64(KernelTable& table) { install_rows<Type::f64, 2, false>(table); }

}  // namespace dvm::cpu

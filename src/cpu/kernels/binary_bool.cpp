#include "cpu/kernels/elementwise.h"
#include "cpu/kernels/install.h"

namespace dvm::cpu {

void install_binary_bool(KernelTable& table) { install_rows<Type::bool_, 2, false>(table); }

}  // namespace dvm::cpu

#include "cpu/kernels/elementwise.h"
#include "cpu/kernels/install.h"

namespace dvm::cpu {

void install_binary_i32(KernelTable& table) { install_rows<Type::i32, 2, false>(table); }

}  // namespace dvm::cpu

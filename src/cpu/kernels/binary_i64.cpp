#include "cpu/kernels/elementwise.h"
#include "cpu/kernels/install.h"

namespace dvm::cpu {

void install_binary_i64(KernelTable& table) { install_rows<Type::i64, 2, false>(table); }

}  // namespace dvm::cpu

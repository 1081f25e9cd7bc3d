// Makes the table of this build's kernels. Its name carries the instruction set, since the namespace is renamed.
#include "cpu/kernels/install.h"

#define DVM_JOIN_NAMES(a, b) a##b
#define DVM_JOIN(a, b) DVM_JOIN_NAMES(a, b)

extern "C" const void* DVM_JOIN(kernel_table_, DVM_KERNELS)() {
  static const dvm::KernelTable* const table = [] {
    auto* made = new dvm::KernelTable{};
    dvm::install_unary_f32(*made);
    dvm::install_unary_f64(*made);
    dvm::install_unary_integers(*made);
    dvm::install_binary_f32(*made);
    dvm::install_binary_f64(*made);
    dvm::install_binary_i32(*made);
    dvm::install_binary_i64(*made);
    dvm::install_binary_bool(*made);
    dvm::install_ternary(*made);
    dvm::install_conversions(*made);
    dvm::install_reductions(*made);
    dvm::install_memory(*made);
    dvm::install_expand(*made);
    return made;
  }();
  return table;
}

// Makes the table of this build's kernels. Its name carries the instruction set, since the namespace is renamed.
#include "cpu/kernels/install.h"

#define DVM_JOIN_NAMES(a, b) a##b
#define DVM_JOIN(a, b) DVM_JOIN_NAMES(a, b)

extern "C" const void* DVM_JOIN(kernel_table_, DVM_KERNELS)() {
  static const dvm::cpu::KernelTable* const table = [] {
    auto* made = new dvm::cpu::KernelTable{};
    dvm::cpu::install_unary_f32(*made);
    dvm::cpu::install_unary_f64(*made);
    dvm::cpu::install_unary_integers(*made);
    dvm::cpu::install_binary_f32(*made);
    dvm::cpu::install_binary_f64(*made);
    dvm::cpu::install_binary_i32(*made);
    dvm::cpu::install_binary_i64(*made);
    dvm::cpu::install_binary_bool(*made);
    dvm::cpu::install_ternary_f32(*made);
    dvm::cpu::install_ternary_f64(*made);
    dvm::cpu::install_ternary_integers(*made);
    dvm::cpu::install_conversions(*made);
    dvm::cpu::install_half(*made);
    dvm::cpu::install_reductions(*made);
    dvm::cpu::install_memory(*made);
    dvm::cpu::install_expand(*made);
    dvm::cpu::install_matrix(*made);
    dvm::cpu::install_matrix_native(*made);
    dvm::cpu::install_attention(*made);
    dvm::cpu::install_windows(*made);
    dvm::cpu::install_place_windows(*made);
    return made;
  }();
  return table;
}

// The parts of the kernel table, one per source file, so that they compile side by side.
#pragma once

#include "cpu/step.h"

namespace dvm::cpu {

void install_unary_f32(KernelTable& table);
void install_unary_f64(KernelTable& table);
void install_unary_integers(KernelTable& table);
void install_binary_f32(KernelTable& table);
void install_binary_f64(KernelTable& table);
void install_binary_i32(KernelTable& table);
void install_binary_i64(KernelTable& table);
void install_binary_bool(KernelTable& table);
void install_ternary_f32(KernelTable& table);
void install_ternary_f64(KernelTable& table);
void install_ternary_integers(KernelTable& table);
void install_conversions(KernelTable& table);
void install_half(KernelTable& table);  // after the conversions, some of which it replaces
void install_reductions(KernelTable& table);
void install_memory(KernelTable& table);
void install_expand(KernelTable& table);
void install_matrix(KernelTable& table);
void install_matrix_native(KernelTable& table);  // after install_matrix, some of which it replaces
void install_attention(KernelTable& table);
void install_windows(KernelTable& table);
void install_place_windows(KernelTable& table);

}  // namespace dvm::cpu

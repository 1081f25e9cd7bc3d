#include "cpu/kernels/matmul.h"

#include "cpu/kernels/install.h"

namespace dvm::cpu {

void install_matrix(KernelTable& table) {
  table.matrix_f32 = {matmul::dot<float>, matmul::outer<float>};
  table.matrix_f64 = {matmul::dot<double>, matmul::outer<double>};
}

}  // namespace dvm::cpu

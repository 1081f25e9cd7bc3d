#include "runtime/copy_kernel.h"

#include <numeric>
#include <vector>

namespace dvm {

Kernel copy_kernel(Type type, int rank) {
  Kernel kernel;
  kernel.name = "copy";
  kernel.axes.assign(rank, -1);
  kernel.terms.push_back({.kind = TermKind::kLoad,
                          .type = compute(type),
                          .mask = (AxisMask{1} << rank) - 1,
                          .index = 0});
  std::vector<int> dims(rank);
  std::iota(dims.begin(), dims.end(), 0);
  kernel.inputs.push_back({-1, type, dims});
  kernel.outputs.push_back({-1, 0, type, dims});
  return kernel;
}

}  // namespace dvm

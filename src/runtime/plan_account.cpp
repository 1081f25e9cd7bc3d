// What a LaunchPlan occupies, and what its launches are called.
#include <string>

#include "cpu/held.h"
#include "runtime/launch_plan.h"

namespace dvm {

std::string launch_name(const Flow& flow, const Launch& launch) {
  const std::string kernel = launch.kernel < 0 ? "" : flow.fusion.kernels[launch.kernel].name;
  if (launch.tiled != nullptr) return launch.tiled->name() + (kernel.empty() ? "" : "_" + kernel);
  return kernel.empty() ? "copy" : kernel;
}

std::size_t LaunchPlan::bytes() const {
  using cpu::held_bytes;
  std::size_t total = sizeof(LaunchPlan) + held_bytes(outputs) + held_bytes(launches) +
                      held_bytes(stages) + held_bytes(arguments) + held_bytes(scalars) +
                      held_bytes(extents) + held_bytes(packed) + held_bytes(checks);
  for (const Launch& launch : launches) {
    total += launch.tiled != nullptr ? launch.tiled->bytes()
                                     : launch.routine.bytes() - sizeof(launch.routine);
  }
  return total;
}

}  // namespace dvm

// A Kernel that no fusion made: launch_plan.cpp runs it where a tensor is neither computed in place nor a view.
#pragma once

#include "fuse/kernel.h"

namespace dvm {

/// Copies one tensor to another of the same sizes.
Kernel copy_kernel(Type type, int rank);

}  // namespace dvm

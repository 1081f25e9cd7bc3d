// What is kept of plans, for Python: of one Executable (executable.cpp) and of all (plans.cpp).
#pragma once

#include <nanobind/nanobind.h>

#include "runtime/plan_budget.h"

namespace dvm::python {

nanobind::dict plans_object(const CacheStatistics& plans);

}  // namespace dvm::python

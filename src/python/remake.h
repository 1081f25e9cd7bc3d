// What the binding of `Graph` has from remake.cpp.
#pragma once

#include <nanobind/nanobind.h>

#include "graph/graph.h"

namespace dvm::python {

void bind_remaking(nanobind::class_<Graph>& graph);

}  // namespace dvm::python

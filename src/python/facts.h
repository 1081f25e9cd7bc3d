// Facts about the dimensions of a `Graph`: stated by Python, and told to it.
#pragma once

#include <nanobind/nanobind.h>

#include <string>

#include "graph/graph.h"

namespace dvm::python {

namespace nb = nanobind;

void state_fact(Graph& graph, const std::string& kind, nb::handle dim, const nb::args& values,
                const std::string& source);
/// A dict for each fact, in the order in which they were stated or found.
nb::list facts_object(const Graph& graph);

}  // namespace dvm::python

// One function per file that binds a noun.
#pragma once

#include <nanobind/nanobind.h>

namespace dvm::python {

void bind_program(
    nanobind::module_& module);  // and the tables of instructions and types, assemble, verify
void bind_graph(nanobind::module_& module);  // and fuse
void bind_executable(nanobind::module_& module);
void bind_plans(nanobind::module_& module);
void bind_kernel_function(nanobind::module_& module);
void bind_recorder(nanobind::module_& module);

}  // namespace dvm::python

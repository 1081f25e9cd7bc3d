// The extension module `dvm._core`: the nouns of the core for Python. It binds Graph, Executable and Program and the
// tables; what can be computed is said with a Graph, so no operation is bound by itself.
#include "python/module.h"

NB_MODULE(_core, module) {
  // Frameworks keep what they compiled, and our objects with it, until after this module is gone: that is no leak.
  nanobind::set_leak_warnings(false);
  module.doc() = "The compiled core of dvm: graphs, executables, programs.";
  dvm::python::bind_program(module);
  dvm::python::bind_graph(module);
  dvm::python::bind_executable(module);
  dvm::python::bind_plans(module);
  dvm::python::bind_kernel_function(module);
  dvm::python::bind_recorder(module);
}

// What is behind `Executable` in Python: an Executable, and how the arguments of a call map to its inputs.
#pragma once

#include <string>
#include <vector>

#include "python/exchange.h"
#include "runtime/executable.h"

namespace dvm::python {

/// One parameter of a call.
struct Argument {
  bool scalar;
  int number;  // among the inputs or the scalars
  Type type;
  std::string name;
};

struct Callable {
  Callable(const Graph& graph, std::size_t cache_bytes, nb::handle like);

  /// Throws C++ exceptions.
  nb::object call(PyObject* args, PyObject* kwargs);

  Executable executable;
  std::vector<Argument> arguments;  // in the order of a call
  std::size_t inputs = 0, scalars = 0;
  Framework framework;  // of the results where no tensor comes in
};

/// The call slot of the Python type.
PyObject* call_slot(PyObject* self, PyObject* args, PyObject* kwargs);

}  // namespace dvm::python

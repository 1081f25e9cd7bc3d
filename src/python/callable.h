// What is behind `Executable` in Python: an Executable, and how the arguments of a call map to its inputs.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
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
  Callable(const Graph& graph, std::size_t cache_bytes, nb::handle like, bool speculate = true);

  /// Throws C++ exceptions, as all of these.
  nb::object call(PyObject* args, PyObject* kwargs);
  /// For tensors that are read already, one per input. `out` may be null.
  nb::object call(std::span<const Borrowed* const> tensors, std::span<const std::uint64_t> scalars,
                  PyObject* out);
  /// The bits of scalar argument `argument`.
  std::uint64_t bits(const Argument& argument, PyObject* object) const {
    return scalar_bits(object, argument.type, {executable.graph().name(), "scalar", argument.name});
  }

  Executable executable;
  std::vector<Argument> arguments;  // in the order of a call
  std::size_t inputs = 0, scalars = 0;
  bool has_weights = false;
  Framework framework;  // of the results where no tensor comes in
};

/// The call slot of the Python type.
PyObject* call_slot(PyObject* self, PyObject* args, PyObject* kwargs);

/// Within a `catch`: makes the C++ exception the Python error of this thread. For slots, which return null then.
void set_python_error();

// So many elements on the stack, more on the heap.
template <class T, std::size_t kUsual>
class Few {
 public:
  explicit Few(std::size_t count) : count_(count), more_(count > kUsual ? new T[count] : nullptr) {}
  T& operator[](std::size_t i) { return data()[i]; }
  T* data() { return more_ ? more_.get() : usual_; }
  std::span<T> span() { return {data(), count_}; }

 private:
  std::size_t count_;
  T usual_[kUsual];
  std::unique_ptr<T[]> more_;
};

}  // namespace dvm::python

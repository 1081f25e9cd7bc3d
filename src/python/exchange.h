// How tensors cross between Python and the core without copies. Types with the DLPack C exchange API (torch) are read
// and made by C calls alone; NumPy arrays by the buffer protocol; anything else by `__dlpack__`. Nothing here is
// built against a framework, and none is imported before a caller brings its tensors.
#pragma once

#include <nanobind/nanobind.h>

#include <string>

#include "eager/memory.h"
#include "python/dlpack.h"
#include "runtime/executable.h"

namespace dvm::python {

namespace nb = nanobind;

/// For whom an error message is: "[softmax] input x".
struct Whose {
  const std::string& graph;
  const char* role;
  const std::string& name;
  std::string text() const { return "[" + graph + "] " + role + " " + name; }
};

/// Who makes the results of a call: the exchange API of a tensor type, or NumPy when there is none.
struct Framework {
  const dlpack::ExchangeApi* api = nullptr;
};

/// The framework of a tensor type.
Framework framework_of(PyTypeObject* type);

/// A tensor of the caller's for the time of one call.
class Borrowed {
 public:
  Borrowed() = default;
  ~Borrowed() { release(); }
  Borrowed(const Borrowed&) = delete;
  Borrowed& operator=(const Borrowed&) = delete;

  /// Reads `object`. Raises TypeError for what is no tensor and ValueError for one that cannot be used.
  void take(PyObject* object, const Whose& whose, bool writable = false);

  const TensorView& view() const { return view_; }
  Framework framework() const { return framework_; }
  /// Borrowed too.
  PyObject* object() const { return object_; }
  /// Whether nobody can change its elements by the object that came.
  bool readonly() const { return holds_ == Holds::kBuffer && buffer_.readonly != 0; }

 private:
  enum class Holds : std::uint8_t { kNothing, kBuffer, kManaged, kLegacy };

  void release();
  bool take_buffer(PyObject* object, const Whose& whose, bool writable);
  void take_capsule(PyObject* object, const Whose& whose, bool writable);
  void read(const dlpack::Tensor& tensor, const Whose& whose);
  void set_rank(int rank, const Whose& whose);

  TensorView view_;
  Framework framework_;
  PyObject* object_ = nullptr;
  Holds holds_ = Holds::kNothing;
  std::int64_t sizes_[kMaxRank];
  std::int64_t strides_[kMaxRank];
  union {
    Py_buffer buffer_;
    dlpack::ManagedTensor* managed_;
    dlpack::LegacyManagedTensor* legacy_;
  };
};

/// A result before it becomes a Python object: memory of the framework's.
class ResultTensor {
 public:
  ResultTensor() = default;
  ~ResultTensor();
  ResultTensor(const ResultTensor&) = delete;
  ResultTensor& operator=(const ResultTensor&) = delete;

  void allocate(const OutputPlan& plan, Framework framework);
  void* data() const { return data_; }
  /// The finished tensor.
  nb::object give();

 private:
  void allocate_numpy(const OutputPlan& plan);

  const dlpack::ExchangeApi* api_ = nullptr;
  dlpack::ManagedTensor* managed_ = nullptr;
  nb::object array_;
  void* data_ = nullptr;
};

/// What the framework of `tensor` says of it; false when the core has no such tensors.
bool look(const Framework& framework, PyObject* tensor, eager::Region& region);

/// Memory of the recorder's as a tensor of the framework's.
nb::object tensor_of(const Framework& framework, const eager::Region& region,
                     eager::Buffer* buffer);

/// The bits of a Python number, NumPy scalar or 0-d tensor in the compute type of `type`.
std::uint64_t scalar_bits(PyObject* object, Type type, const Whose& whose);

}  // namespace dvm::python

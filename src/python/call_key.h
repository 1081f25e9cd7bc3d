// CallKey: what tells one call of an eager program from another, as words that are hashed and compared: the function,
// types of tensors and the pattern of their sizes, and all other arguments. Sizes and numbers themselves are kept
// apart, since most operations are the same for all of them.
#pragma once

#include <cstdint>
#include <vector>

#include "eager/trace.h"
#include "python/exchange.h"

namespace dvm::python {

/// How much of a call its key tells.
enum class Detail : std::uint8_t { kPattern, kNumbers, kSizes };

class CallKey {
 public:
  /// `tensor` and `parameter` are the types whose objects count as tensors.
  CallKey(PyTypeObject* tensor, PyTypeObject* parameter);

  /// Reads a call. False when it has an argument that cannot be told from another, or a tensor that the core has not.
  bool read(PyObject* function, PyObject* args, PyObject* kwargs);

  /// The words of `detail`, until the next read.
  const std::vector<std::uint64_t>& words(Detail detail);

  /// In the order of the call, borrowed.
  const std::vector<PyObject*>& tensors() const { return tensors_; }
  const std::vector<eager::Region>& regions() const { return regions_; }
  /// Whether there are numbers that kPattern leaves out.
  bool has_numbers() const { return !numbers_.empty(); }
  /// Number `number` as a scalar of `type`.
  std::uint64_t number(std::size_t number, Type type) const;

 private:
  struct Number {
    bool is_float;
    double real;
    std::int64_t whole;
  };
  bool add(PyObject* argument, int depth);
  bool add_tensor(PyObject* tensor);
  void add_order(const Layout& layout, std::int64_t element);

  PyTypeObject* tensor_;
  PyTypeObject* parameter_;
  Framework framework_;
  std::vector<std::uint64_t> pattern_, scratch_;
  std::vector<PyObject*> tensors_;
  std::vector<eager::Region> regions_;
  std::vector<Number> numbers_;
  std::vector<std::int64_t> sizes_;  // distinct ones
};

}  // namespace dvm::python

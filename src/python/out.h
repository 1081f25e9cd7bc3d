// The caller's own tensors for the results of a call: `out=`.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "python/exchange.h"

namespace dvm::python {

class Out {
 public:
  /// `out` is a tensor, or a tuple or list of them for several results.
  Out(const Graph& graph, PyObject* out);

  /// Throws if type or shape are not those of the results, or if memory is shared where it must not be.
  void check(const LaunchPlan& plan, std::span<const TensorView> inputs) const;
  /// Whether the strides are those that `plan` writes.
  bool follows(const LaunchPlan& plan) const;

  std::span<const TensorView> views() const { return views_; }
  const nb::object& object() const { return object_; }

 private:
  [[noreturn]] void fail(std::size_t number, const std::string& what) const;

  const Graph& graph_;
  nb::object object_;
  std::vector<nb::object> tensors_;
  std::unique_ptr<Borrowed[]> borrowed_;
  std::vector<TensorView> views_;
};

}  // namespace dvm::python

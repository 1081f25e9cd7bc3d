// Remaking: does again, on other operands, what made a value of a Graph, there or in another Graph with dimensions of its
// own. stitch.cpp writes a whole Graph anew in other shapes; here they stay.
#pragma once

#include <unordered_map>
#include <utility>
#include <vector>

#include "graph/graph.h"

namespace dvm {

class Remaking {
 public:
  /// Both may be the same. `dims` says which dimensions of `into` stand for symbols of `from`; others go by their names.
  Remaking(const Graph& from, Graph& into, std::unordered_map<Dim, Dim> dims = {})
      : from_(from), into_(into), by_name_(dims.empty()), dims_(std::move(dims)) {}

  /// Throws std::invalid_argument for a number that is no value.
  const std::vector<Value>& operands(Value value) const { return node(value).operands; }
  /// What made `value`, which is no input and no scalar, done to `operands` of the other Graph. Throws
  /// std::invalid_argument when they do not fit.
  Value remake(Value value, const std::vector<Value>& operands);

 private:
  const Node& node(Value value) const;
  Dim dim(Dim dim);
  std::vector<Dim> shape(const Node& node);

  Dim translate(Dim dim);

  const Graph& from_;
  Graph& into_;
  bool by_name_;
  std::unordered_map<Dim, Dim> dims_;  // of the one Graph, in the other
};

}  // namespace dvm

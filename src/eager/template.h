// Template: one operation of an eager program as a Graph over symbols. It is made once, by the rules of torch.compile,
// for all operands of its types and of its pattern of sizes; every trace that has the operation copies it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "runtime/binding.h"
#include "runtime/layout.h"

namespace dvm::eager {

class Template {
 public:
  /// `graph` has an input for each operand, in their order, a scalar for each number, and an output for each result.
  /// `writes` names for each result the operand whose memory receives it, or is -1. Throws std::invalid_argument when
  /// sizes of results do not follow from operands.
  Template(std::string name, Graph graph, std::vector<int> writes);

  const std::string& name() const { return name_; }
  const Graph& graph() const { return graph_; }
  int results() const { return static_cast<int>(results_.size()); }
  int writes(int result) const { return writes_[result]; }
  /// Whether it writes to an operand.
  bool changes() const { return changes_; }
  Type type(int result) const { return graph_.node(graph_.outputs()[result]).type; }

  /// Where the elements of a new result lie, for operands of these sizes.
  Layout layout(int result, std::span<const TensorView> operands) const;

 private:
  // One size of a result: that of an operand, or a number, or an expression.
  struct Size {
    int operand = -1, axis = 0;
    std::int64_t constant = -1;
    Dim dim = -1;
  };
  Size size_of(Dim dim) const;
  std::int64_t compute(Dim dim, std::span<const TensorView> operands) const;

  std::string name_;
  Graph graph_;
  std::vector<int> writes_;
  bool changes_;
  std::vector<std::vector<Size>> results_;
};

}  // namespace dvm::eager

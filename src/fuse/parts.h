// DimParts: into which parts each dimension of each computed value of a Graph is split, for stitch.cpp. Dimensions that
// run along each other are one class, and a class is split as a whole. Inputs, what is a step of its own and their views are in no
// class: whoever reads one takes the view of it that it needs.
#pragma once

#include <span>
#include <vector>

#include "graph/graph.h"

namespace dvm {

class DimParts {
 public:
  /// Joins what operations make run along each other. Nothing is split yet.
  explicit DimParts(Graph& graph);

  /// Makes the groups of dimensions on both sides of a reshape the same loops. False, with nothing changed, when a
  /// dimension would have to be split in two ways or belongs to an operation that needs it whole.
  [[nodiscard]] bool dissolve(Value reshape);

  /// The dimensions that take the place of dimension `dim` of `value`; ones for a dimension of size 1.
  std::vector<Dim> parts(Value value, int dim) const;
  int count(Value value, int dim) const {
    return static_cast<int>(leaves(slot(value, dim)).size());
  }
  /// Whether some dimension of a value is in parts.
  bool splits(Value value) const;
  /// Whether a value is an input, a step of its own (a matrix product, a scan, ...), or a view of one.
  bool exists(Value value) const { return exists_[value] != 0; }

 private:
  int slot(Value value, int dim) const { return first_[value] + dim; }
  int find(int slot) const;
  void undo(std::size_t changes);
  bool is_one(int slot) const;
  std::vector<int> leaves(int slot) const;
  bool can_join(int a, int b, int depth) const;
  bool join(int a, int b);
  void run_along(const Node& node, Value value);
  void keep_whole(Value value, int dim) {
    if (!exists(value)) whole_[find(slot(value, dim))] = 1;
  }
  bool split(int whole, std::span<const int> into);
  bool match(const std::vector<int>& from, const std::vector<int>& to);
  /// The dimension that `a` has `b` times, -1 if it is not known to have.
  Dim quotient(Dim a, Dim b);
  int add_slot(Dim dim);

  Graph& graph_;
  std::vector<char> exists_;  // by value
  std::vector<int> first_;    // slot of each value's first dimension
  std::vector<Dim>
      dims_;  // by slot; of a class, at its representative, one that is not 1 if there is one
  std::vector<int>
      parent_;  // a chain ends at the representative; never shortened, so that it can be undone
  std::vector<char> whole_;                 // by representative
  std::vector<std::vector<int>> children_;  // by representative: slots
  // What a class was before it took in another (`joined` >= 0) or was split.
  struct Change {
    int slot, joined;
    Dim dim;
    char whole;
    std::vector<int> children;
    int size;
  };
  std::vector<int> size_;  // of a class, at its representative
  std::vector<Change> changes_;
};

}  // namespace dvm

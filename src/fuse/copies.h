// Copies: a Graph in which each of several groups of operations has a copy of values that it reads, made of the same
// operands. Who decides which is repeat.cpp.
#pragma once

#include <map>
#include <set>
#include <vector>

#include "fuse/grouping.h"

namespace dvm {

class Copies {
 public:
  /// By the group that reads a value, what is copied into it: the value, and what leads to it.
  using Readers = std::map<int, std::set<Value>>;

  Copies(const Graph& graph, const Grouping& grouping, const std::map<Value, Readers>& repeated);

  /// The Graph with the copies, without what nobody needs any more.
  Graph graph() const;
  /// The numbers of all copies there.
  std::set<Value> made() const;
  /// The number of a value's first copy there.
  Value first_of(Value value) const;
  /// The values of which, by the grouping of that Graph, some copy is in another group than its reader.
  std::set<Value> apart(const Grouping& after) const;

 private:
  struct Copy {
    Value of;
    int group;
    Value made;
  };

  void write();
  void number();
  /// What stands for `value` where `group` reads it.
  Value within(int group, Value value);

  const Graph& source_;
  const Grouping& grouping_;
  Readers copied_;
  std::set<Value> repeated_;
  std::vector<Node> nodes_;
  std::vector<Value> now_;                         // by value of the source
  std::map<std::pair<int, Value>, Value> within_;  // copies, and views of them
  std::vector<Copy> copies_;
  std::vector<Value> numbers_;  // by node: in graph(), -1 for what is not needed
};

}  // namespace dvm

// How values of a `Graph` are made again, there or in another: what torch's segments are cut from a whole program with.
#include "python/remake.h"

#include <nanobind/stl/unordered_map.h>
#include <nanobind/stl/unordered_set.h>
#include <nanobind/stl/vector.h>

#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "graph/remake.h"

namespace dvm::python {
namespace {

namespace nb = nanobind;
using nanobind::literals::operator""_a;

// Operands come before what is made of them.
std::vector<Value> copy(Graph& graph, const Graph& source, const std::vector<Value>& values,
                        std::unordered_map<Value, Value> places,
                        const std::unordered_map<Value, std::vector<Value>>& operands) {
  Remaking remaking(source, graph);
  std::vector<Value> made;
  for (const Value value : values) {
    const auto [place, is_new] = places.try_emplace(value, -1);
    if (is_new) {
      const auto other = operands.find(value);
      std::vector<Value> mine;
      for (const Value operand : other == operands.end() ? remaking.operands(value) : other->second)
        mine.push_back(places.at(operand));
      places[value] = remaking.remake(value, mine);
    }
    made.push_back(places[value]);
  }
  return made;
}

// Operands come first, since they are made before.
std::vector<Value> needed(const Graph& graph, const std::vector<Value>& roots,
                          const std::unordered_set<Value>& given,
                          const std::unordered_map<Value, std::vector<Value>>& operands) {
  std::vector<bool> found(graph.nodes().size());
  std::vector<Value> pending = roots;
  while (!pending.empty()) {
    const Value value = pending.back();
    pending.pop_back();
    if (found.at(value)) continue;
    found[value] = true;
    if (given.contains(value)) continue;
    const auto other = operands.find(value);
    const std::vector<Value>& mine =
        other == operands.end() ? graph.node(value).operands : other->second;
    pending.insert(pending.end(), mine.begin(), mine.end());
  }
  std::vector<Value> values;
  for (std::size_t value = 0; value < found.size(); ++value)
    if (found[value]) values.push_back(static_cast<Value>(value));
  return values;
}

}  // namespace

void bind_remaking(nb::class_<Graph>& graph) {
  graph
      .def(
          "remake",
          [](Graph& g, Value value, const std::vector<Value>& operands) {
            return Remaking(g, g).remake(value, operands);
          },
          "value"_a, "operands"_a, "Does what made `value` to other operands.")
      .def("needed", &needed, "roots"_a, "given"_a, "operands"_a,
           "The values that make `roots`, operands first, from those that are `given`, which are "
           "among them. `operands` has\nthe operands of those that are to be made of others than "
           "they were.")
      .def("copy", &copy, "source"_a, "values"_a, "places"_a, "operands"_a,
           "Makes values of another Graph again in this one, operands first, and returns which "
           "they are here. `places` "
           "has\nthose that are here already, `operands` the operands of those that are to be made "
           "of others than there.");
}

}  // namespace dvm::python

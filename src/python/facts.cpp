#include "python/facts.h"

#include <nanobind/stl/string.h>

#include <algorithm>
#include <stdexcept>

#include "python/convert.h"

namespace dvm::python {
namespace {

FactKind parse_kind(const std::string& kind) {
  const auto found = std::ranges::find(kFactKinds, kind);
  if (found == std::end(kFactKinds)) {
    throw std::invalid_argument("[fact] there is no kind \"" + kind +
                                "\": use one of equal, multiple, range, likely");
  }
  return static_cast<FactKind>(found - std::begin(kFactKinds));
}

std::int64_t number(nb::handle value) {
  if (!PyIndex_Check(value.ptr())) {
    throw nb::type_error(
        (std::string("[fact] expected an int, got ") + Py_TYPE(value.ptr())->tp_name).c_str());
  }
  const Py_ssize_t number = PyNumber_AsSsize_t(value.ptr(), PyExc_OverflowError);
  if (number == -1 && PyErr_Occurred()) throw nb::python_error();
  return number;
}

void wants(const char* kind, const nb::args& values, std::size_t count, const char* what) {
  if (values.size() == count) return;
  throw std::invalid_argument(std::string("[fact] ") + kind + " wants a dimension and " + what +
                              ", got " + std::to_string(values.size()) + " values");
}

}  // namespace

void state_fact(Graph& graph, const std::string& kind, nb::handle dim, const nb::args& values,
                const std::string& source) {
  Fact fact{.kind = parse_kind(kind), .a = parse_dim(graph.dims(), dim), .source = source};
  switch (fact.kind) {
    case FactKind::kEqual:
      wants("equal", values, 1, "another");
      fact.b = parse_dim(graph.dims(), values[0]);
      break;
    case FactKind::kMultiple:
      wants("multiple", values, 1, "a number");
      fact.numbers = {number(values[0])};
      break;
    case FactKind::kRange:
      wants("range", values, 2, "both ends");
      fact.numbers = {values[0].is_none() ? 0 : number(values[0]),
                      values[1].is_none() ? Range::kMost : number(values[1])};
      break;
    case FactKind::kLikely:
      wants("likely", values, 1, "a sequence of values");
      for (const nb::handle value : values[0]) fact.numbers.push_back(number(value));
      break;
  }
  graph.fact(std::move(fact));
}

nb::list facts_object(const Graph& graph) {
  nb::list list;
  for (const Fact& fact : graph.facts().stated()) {
    nb::dict dict;
    dict["kind"] = std::string(kFactKinds[static_cast<int>(fact.kind)]);
    dict["text"] = text(graph.dims(), fact);
    dict["source"] = fact.source;
    dict["given"] = fact.given;
    list.append(dict);
  }
  return list;
}

}  // namespace dvm::python

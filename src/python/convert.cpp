#include "python/convert.h"

#include <nanobind/stl/string.h>

#include <stdexcept>
#include <unordered_map>

namespace dvm::python {

Type parse_type(const std::string& text, const char* where) {
  for (std::size_t i = 0; i < kTypeCount; ++i) {
    if (kTypes[i].text == text) return static_cast<Type>(i);
  }
  std::string known;
  for (std::size_t i = 0; i < kTypeCount; ++i)
    known += (i ? ", " : "") + std::string(kTypes[i].text);
  throw std::invalid_argument(std::string("[") + where + "] there is no element type \"" + text +
                              "\": use one of " + known);
}

Op parse_op(const std::string& name) {
  static const auto* const ops = [] {
    auto* map = new std::unordered_map<std::string_view, Op>;
    for (std::size_t i = 0; i < kOpCount; ++i) map->emplace(kOps[i].name, static_cast<Op>(i));
    return map;
  }();
  const auto it = ops->find(name);
  if (it == ops->end())
    throw std::invalid_argument("[graph] there is no instruction \"" + name + "\"");
  return it->second;
}

Dim parse_dim(Dims& dims, nb::handle dim) {
  if (nb::isinstance<nb::str>(dim)) return dims.parse(nb::cast<std::string>(dim));
  if (PyIndex_Check(dim.ptr())) {
    const Py_ssize_t value = PyNumber_AsSsize_t(dim.ptr(), PyExc_ValueError);
    if (value == -1 && PyErr_Occurred()) throw nb::python_error();
    if (value < 0)
      throw std::invalid_argument("[graph] a dimension cannot be " + std::to_string(value));
    return dims.constant(value);
  }
  throw nb::type_error(
      (std::string("[graph] a dimension is an int or a str, got ") + Py_TYPE(dim.ptr())->tp_name)
          .c_str());
}

std::vector<Dim> parse_shape(Dims& dims, nb::handle shape) {
  if (nb::isinstance<nb::str>(shape))
    throw nb::type_error("[graph] a shape is a sequence of dimensions, got str");
  std::vector<Dim> parsed;
  for (const nb::handle dim : shape) parsed.push_back(parse_dim(dims, dim));
  return parsed;
}

nb::object dim_object(const Dims& dims, Dim dim) {
  if (dims.is_constant(dim)) return nb::int_(dims.value(dim));
  return nb::cast(dims.text(dim));
}

nb::list shape_object(const Dims& dims, const std::vector<Dim>& shape) {
  nb::list list;
  for (const Dim dim : shape) list.append(dim_object(dims, dim));
  return list;
}

}  // namespace dvm::python

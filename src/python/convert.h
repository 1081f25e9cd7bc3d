// Between Python values and the nouns of the core that have no binding of their own: element types, operations,
// dimensions.
#pragma once

#include <nanobind/nanobind.h>

#include <string>
#include <vector>

#include "graph/graph.h"

namespace dvm::python {

namespace nb = nanobind;

inline nb::str text(std::string_view view) { return nb::str(view.data(), view.size()); }

/// "f32" -> Type::f32. `where` begins the message of the ValueError.
Type parse_type(const std::string& text, const char* where);
/// "add" -> Op::add.
Op parse_op(const std::string& name);

/// An int, or text in the syntax of Dims::parse.
Dim parse_dim(Dims& dims, nb::handle dim);
std::vector<Dim> parse_shape(Dims& dims, nb::handle shape);
/// An int when it is known, else text.
nb::object dim_object(const Dims& dims, Dim dim);
nb::list shape_object(const Dims& dims, const std::vector<Dim>& shape);

}  // namespace dvm::python

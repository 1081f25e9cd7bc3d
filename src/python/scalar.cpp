// Numbers of the caller's as scalar arguments.
#include <bit>

#include "python/exchange.h"

namespace dvm::python {
namespace {

std::uint64_t float_bits(double value, Type type) {
  return type == Type::f32 ? std::bit_cast<std::uint32_t>(static_cast<float>(value))
                           : std::bit_cast<std::uint64_t>(value);
}

std::uint64_t integer_bits(std::int64_t value, Type type, const Whose& whose) {
  if (info(type).kind == Kind::kBool) return value != 0;
  const int bits = static_cast<int>(bytes(type)) * 8;
  const std::int64_t least =
      type == Type::u8 ? 0 : -1 - static_cast<std::int64_t>(~std::uint64_t{0} >> (65 - bits));
  const std::int64_t most =
      static_cast<std::int64_t>(~std::uint64_t{0} >> (type == Type::u8 ? 56 : 65 - bits));
  if (value < least || value > most) {
    throw nb::value_error((whose.text() + ": " + std::to_string(value) + " does not fit " +
                           std::string(info(type).text))
                              .c_str());
  }
  return compute(type) == Type::i32 ? static_cast<std::uint32_t>(value)
                                    : static_cast<std::uint64_t>(value);
}

[[noreturn]] void no_number(PyObject* object, Type type, const Whose& whose) {
  const char* wanted = info(type).kind == Kind::kFloat ? "a number" : "an integer";
  throw nb::type_error(
      (whose.text() + ": expected " + wanted + ", got " + Py_TYPE(object)->tp_name).c_str());
}

}  // namespace

std::uint64_t scalar_bits(PyObject* object, Type type, const Whose& whose) {
  const bool floating = info(type).kind == Kind::kFloat;
  if (PyFloat_Check(object)) {
    if (!floating) no_number(object, type, whose);
    return float_bits(PyFloat_AS_DOUBLE(object), compute(type));
  }
  if (PyLong_Check(object)) {  // bool too
    if (floating) {
      const double value = PyLong_AsDouble(object);
      if (value == -1.0 && PyErr_Occurred()) throw nb::python_error();
      return float_bits(value, compute(type));
    }
    int overflow = 0;
    const std::int64_t value = PyLong_AsLongLongAndOverflow(object, &overflow);
    if (overflow != 0)
      throw nb::value_error((whose.text() + ": the integer does not fit 64 bits").c_str());
    return integer_bits(value, type, whose);
  }
  // NumPy scalars and tensors of rank 0 know the Python number they hold.
  const nb::object item = nb::getattr(nb::handle(object), "item", nb::none());
  const nb::object rank = nb::getattr(nb::handle(object), "ndim", nb::none());
  if (!item.is_none() && !rank.is_none()) {
    if (nb::cast<int>(rank) != 0) {
      throw nb::value_error((whose.text() + ": expected a scalar, got a tensor of rank " +
                             std::to_string(nb::cast<int>(rank)))
                                .c_str());
    }
    const nb::object number = item();
    if (PyFloat_Check(number.ptr()) || PyLong_Check(number.ptr()))
      return scalar_bits(number.ptr(), type, whose);
  }
  if (PyIndex_Check(object)) {
    const nb::object number = nb::steal(PyNumber_Index(object));
    if (!number.is_valid()) throw nb::python_error();
    return scalar_bits(number.ptr(), type, whose);
  }
  if (floating && Py_TYPE(object)->tp_as_number != nullptr &&
      Py_TYPE(object)->tp_as_number->nb_float != nullptr) {
    const nb::object number = nb::steal(PyNumber_Float(object));
    if (!number.is_valid()) throw nb::python_error();
    return scalar_bits(number.ptr(), type, whose);
  }
  no_number(object, type, whose);
}

}  // namespace dvm::python

// `KernelFunction`: the base of dvm.Kernel, and the way of its usual calls, without a line of Python. It reads the
// arguments once, finds the Executable that was compiled for their class (element types, ranks, which sizes are 1,
// kinds of numbers), and runs it. Whatever it does not know goes to the method `_miss` of the Python class: classes
// that were not compiled yet, constants, arguments by name, handles of a trace, and everything that is an error.
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "python/callable.h"
#include "python/convert.h"
#include "python/module.h"

namespace dvm::python {
namespace {

using nanobind::literals::operator""_a;

// What a specialisation assumes of one argument.
using ArgumentKey = std::uint32_t;
using Key = std::vector<ArgumentKey>;

enum class NumberKind : std::uint8_t { kBool, kInteger, kFloat };

constexpr ArgumentKey number_key(NumberKind kind) {
  return 1u << 31 | static_cast<ArgumentKey>(kind);
}

constexpr ArgumentKey tensor_key(Type type, int rank, std::uint32_t ones) {
  static_assert(kMaxRank <= 16, "one bit for each size, beside the type and the rank");
  return ones << 10 | static_cast<ArgumentKey>(rank) << 4 | static_cast<ArgumentKey>(type);
}

ArgumentKey key_of(const TensorView& view) {
  std::uint32_t ones = 0;
  for (int i = 0; i < view.rank; ++i) ones |= view.sizes[i] == 1 ? 1u << i : 0u;
  return tensor_key(view.type, view.rank, ones);
}

// NumPy's numbers offer a buffer too, but are numbers and not arrays.
bool is_number_in_disguise(PyObject* object, const Borrowed& tensor) {
  return tensor.view().rank == 0 && tensor.framework().api == nullptr &&
         std::string_view(Py_TYPE(object)->tp_name) != "numpy.ndarray";
}

struct Specialisation {
  Key key;
  nb::object executable;
  Callable* callable;      // within it
  std::vector<int> order;  // the parameter behind each of its arguments
  bool tuple;              // a single result is wrapped
};

class KernelFunction {
 public:
  KernelFunction(std::string name, std::vector<std::string> parameters, nb::tuple defaults)
      : name_(std::move(name)), parameters_(std::move(parameters)), defaults_(std::move(defaults)) {
    if (defaults_.size() > parameters_.size()) {
      throw std::invalid_argument("[" + name_ + "] has more defaults than parameters");
    }
  }

  void add(nb::object executable, nb::list classes, std::vector<int> order, bool tuple) {
    Callable* callable = nb::inst_ptr<Callable>(executable);
    const int count = static_cast<int>(parameters_.size());
    if (order.size() != callable->arguments.size() || classes.size() != parameters_.size() ||
        std::ranges::any_of(order, [&](int index) { return index < 0 || index >= count; })) {
      throw std::invalid_argument("[" + name_ + "] the arguments are not those of the Executable");
    }
    Key key;
    for (const nb::handle item : classes) key.push_back(parse_class(item));
    for (std::size_t i = 0; i < order.size(); ++i) {
      if (callable->arguments[i].scalar != (key[order[i]] >> 31 != 0)) {
        throw std::invalid_argument("[" + name_ + "] a number and a tensor are mixed up");
      }
    }
    specialisations_.push_back(
        {std::move(key), std::move(executable), callable, std::move(order), tuple});
  }

  void remove(nb::handle executable) {
    std::erase_if(specialisations_,
                  [&](const Specialisation& s) { return s.executable.is(executable); });
  }

  /// Null when the call is one for `_miss`.
  nb::object call(PyObject* args, PyObject* kwargs);

 private:
  static ArgumentKey parse_class(nb::handle item) {
    if (nb::isinstance<nb::str>(item)) {
      const auto text = nb::cast<std::string>(item);
      return number_key(text == "bool"  ? NumberKind::kBool
                        : text == "int" ? NumberKind::kInteger
                                        : NumberKind::kFloat);
    }
    const auto [type, ones] = nb::cast<std::pair<std::string, std::vector<bool>>>(item);
    std::uint32_t mask = 0;
    for (std::size_t i = 0; i < ones.size(); ++i) mask |= ones[i] ? 1u << i : 0u;
    return tensor_key(parse_type(type, "kernel"), static_cast<int>(ones.size()), mask);
  }

  std::string name_;
  std::vector<std::string> parameters_;
  nb::tuple defaults_;
  std::vector<Specialisation> specialisations_;
};

nb::object KernelFunction::call(PyObject* args, PyObject* kwargs) {
  PyObject* out = nullptr;
  if (kwargs != nullptr && PyDict_GET_SIZE(kwargs) > 0) {
    out = PyDict_GetItemString(kwargs, "out");
    if (out == nullptr || PyDict_GET_SIZE(kwargs) > 1) return {};
    if (out == Py_None) out = nullptr;
  }
  const auto given = static_cast<std::size_t>(PyTuple_GET_SIZE(args));
  const std::size_t count = parameters_.size();
  if (given > count || count - given > defaults_.size() || specialisations_.empty()) return {};

  Few<PyObject*, 8> objects(count);
  Few<Borrowed, 6> borrowed(count);
  Few<ArgumentKey, 8> key(count);
  const std::size_t first_default = count - defaults_.size();
  for (std::size_t i = 0; i < count; ++i) {
    objects[i] = i < given ? PyTuple_GET_ITEM(args, i)
                           : PyTuple_GET_ITEM(defaults_.ptr(), i - first_default);
    if (PyFloat_CheckExact(objects[i])) {
      key[i] = number_key(NumberKind::kFloat);
    } else if (PyLong_CheckExact(objects[i])) {
      key[i] = number_key(NumberKind::kInteger);
    } else if (PyBool_Check(objects[i])) {
      key[i] = number_key(NumberKind::kBool);
    } else {
      try {
        borrowed[i].take(objects[i], {name_, "input", parameters_[i]});
      } catch (const std::exception&) {
        return {};  // `_miss` knows handles, and has better words for the rest
      }
      if (is_number_in_disguise(objects[i], borrowed[i])) return {};
      key[i] = key_of(borrowed[i].view());
    }
  }

  const auto found =
      std::ranges::find_if(specialisations_, [&](const Specialisation& specialisation) {
        return std::equal(specialisation.key.begin(), specialisation.key.end(), key.data());
      });
  if (found == specialisations_.end()) return {};
  const nb::object executable = found->executable;  // kept while other threads may change the list
  const bool tuple = found->tuple;
  Callable& callable = *found->callable;
  Few<const Borrowed*, 8> tensors(callable.inputs);
  Few<std::uint64_t, 8> scalars(callable.scalars);
  for (std::size_t i = 0; i < found->order.size(); ++i) {
    const Argument& argument = callable.arguments[i];
    const int parameter = found->order[i];
    if (argument.scalar) {
      scalars[argument.number] = callable.bits(argument, objects[parameter]);
    } else {
      tensors[argument.number] = &borrowed[parameter];
    }
  }
  nb::object result = callable.call(tensors.span(), scalars.span(), out);
  return tuple && out == nullptr ? nb::object(nb::make_tuple(result)) : result;
}

PyObject* kernel_call(PyObject* self, PyObject* args, PyObject* kwargs) {
  try {
    if (nb::object result = nb::inst_ptr<KernelFunction>(self)->call(args, kwargs);
        result.is_valid()) {
      return result.release().ptr();
    }
  } catch (...) {
    set_python_error();
    return nullptr;
  }
  PyObject* miss = PyObject_GetAttrString(self, "_miss");
  if (miss == nullptr) return nullptr;
  PyObject* result = PyObject_Call(miss, args, kwargs);
  Py_DECREF(miss);
  return result;
}

PyType_Slot slots[] = {{Py_tp_call, reinterpret_cast<void*>(kernel_call)}, {0, nullptr}};

}  // namespace

void bind_kernel_function(nb::module_& module) {
  nb::class_<KernelFunction>(
      module, "KernelFunction", nb::type_slots(slots),
      "A function with one Executable per class of arguments. Calls that fit none of them go\n"
      "to the method `_miss`, which a subclass has.")
      .def(nb::init<std::string, std::vector<std::string>, nb::tuple>(), "name"_a, "parameters"_a,
           "defaults"_a = nb::tuple(),
           nb::sig("def __init__(self, name: str, parameters: collections.abc.Sequence[str], "
                   "defaults: tuple[typing.Any, ...] = ()) -> None"))
      .def("register", &KernelFunction::add, "executable"_a, "classes"_a, "order"_a, "tuple"_a,
           nb::sig("def register(self, executable: Executable, classes: list[typing.Any], "
                   "order: collections.abc.Sequence[int], tuple: bool) -> None"),
           "From now on calls with arguments of `classes` run `executable`, whose argument i is\n"
           "parameter order[i]. A class is (type, which sizes are 1), \"bool\", \"int\" or "
           "\"float\".")
      .def("unregister", &KernelFunction::remove, "executable"_a,
           nb::sig("def unregister(self, executable: Executable) -> None"));
}

}  // namespace dvm::python

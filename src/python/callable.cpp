// A call: reads the tensors, looks up the plan of their shapes, allocates the results in the caller's framework and
// runs. A small one takes about a microsecond in all, so it goes through the call slot of the type and not through a
// bound method.
#include "python/callable.h"

#include <memory>
#include <new>
#include <span>
#include <stdexcept>

#include "python/out.h"
#include "python/weights.h"

namespace dvm::python {
namespace {

// Work below this takes less time than giving the GIL away and taking it back from a thread that wants it too.
constexpr std::int64_t kReleaseGilWork = 100'000;

PyObject* out_argument(PyObject* kwargs, const Graph& graph) {
  if (kwargs == nullptr || PyDict_GET_SIZE(kwargs) == 0) return nullptr;
  PyObject* out = PyDict_GetItemString(kwargs, "out");
  if (PyDict_GET_SIZE(kwargs) > (out == nullptr ? 0 : 1)) {
    throw nb::type_error(("[" + graph.name() + "] the only keyword argument is out").c_str());
  }
  return out == Py_None ? nullptr : out;
}

}  // namespace

Callable::Callable(const Graph& graph, std::size_t cache_bytes, nb::handle like, bool speculate)
    : executable(graph, cache_bytes, speculate) {
  if (!like.is_none()) framework = framework_of(reinterpret_cast<PyTypeObject*>(like.ptr()));
  std::size_t input = 0, scalar = 0;
  while (input < graph.inputs().size() || scalar < graph.scalars().size()) {
    const bool is_scalar =
        input == graph.inputs().size() ||
        (scalar < graph.scalars().size() && graph.scalars()[scalar] < graph.inputs()[input]);
    const Node& node = graph.node(is_scalar ? graph.scalars()[scalar] : graph.inputs()[input]);
    has_weights |= node.is_weight;
    arguments.push_back(
        {is_scalar, static_cast<int>(is_scalar ? scalar++ : input++), node.type, node.name});
  }
  inputs = input;
  scalars = scalar;
}

nb::object Callable::call(PyObject* args, PyObject* kwargs) {
  const Graph& graph = executable.graph();
  PyObject* out = out_argument(kwargs, graph);
  if (PyTuple_GET_SIZE(args) != static_cast<Py_ssize_t>(arguments.size())) {
    std::string names;
    for (const Argument& argument : arguments) names += (names.empty() ? "" : ", ") + argument.name;
    throw nb::type_error(("[" + graph.name() + "] takes " + std::to_string(arguments.size()) +
                          " arguments (" + names + "), got " +
                          std::to_string(PyTuple_GET_SIZE(args)))
                             .c_str());
  }

  Few<Borrowed, 6> borrowed(inputs);
  Few<const Borrowed*, 6> tensors(inputs);
  Few<std::uint64_t, 6> scalar_values(scalars);
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const Argument& argument = arguments[i];
    PyObject* object = PyTuple_GET_ITEM(args, i);
    if (argument.scalar) {
      scalar_values[argument.number] = bits(argument, object);
    } else {
      borrowed[argument.number].take(object, {graph.name(), "input", argument.name});
      tensors[argument.number] = &borrowed[argument.number];
    }
  }
  return call(tensors.span(), scalar_values.span(), out);
}

nb::object Callable::call(std::span<const Borrowed* const> tensors,
                          std::span<const std::uint64_t> scalar_values, PyObject* out) {
  Few<TensorView, 6> views(inputs);
  Few<void*, 6> input_data(inputs);
  for (std::size_t i = 0; i < inputs; ++i) {
    views[i] = tensors[i]->view();
    input_data[i] = views[i].data;
  }

  bool packs = has_weights;
  const auto find_plan = [&](std::span<const TensorView> outputs) {
    return executable.plan(views.span(), scalar_values, outputs, packs);
  };
  std::shared_ptr<const LaunchPlan> plan = find_plan({});
  Few<std::shared_ptr<const PackedWeight>, 2> weights(plan->packed.size());
  Few<const void*, 2> packed(plan->packed.size());
  if (!plan->packed.empty()) {
    packs = Weights::process().get(*plan, tensors, weights.span());
    if (!packs) plan = find_plan({});
    for (std::size_t i = 0; i < plan->packed.size(); ++i) packed[i] = weights[i]->data();
  }
  const std::span<const void* const> packed_data(packed.data(), plan->packed.size());
  const std::size_t count = plan->outputs.size();
  Few<void*, 4> output_data(count);
  const auto run = [&] {
    if (plan->work < kReleaseGilWork) {
      executable.run(*plan, input_data.span(), scalar_values, output_data.span(), packed_data);
    } else {
      const nb::gil_scoped_release release;
      executable.run(*plan, input_data.span(), scalar_values, output_data.span(), packed_data);
    }
  };

  if (out != nullptr) {
    const Out given(executable.graph(), out);
    given.check(*plan, views.span());
    if (!given.follows(*plan)) plan = find_plan(given.views());
    for (std::size_t i = 0; i < count; ++i) output_data[i] = given.views()[i].data;
    run();
    return given.object();
  }

  Few<ResultTensor, 4> results(count);
  const Framework maker = inputs > 0 ? tensors[0]->framework() : framework;
  for (std::size_t i = 0; i < count; ++i) {
    results[i].allocate(plan->outputs[i], maker);
    output_data[i] = results[i].data();
  }
  run();
  if (count == 1) return results[0].give();
  nb::object tuple = nb::steal(PyTuple_New(static_cast<Py_ssize_t>(count)));
  for (std::size_t i = 0; i < count; ++i) {
    PyTuple_SET_ITEM(tuple.ptr(), static_cast<Py_ssize_t>(i), results[i].give().release().ptr());
  }
  return tuple;
}

void set_python_error() {
  try {
    throw;
  } catch (nb::python_error& error) {
    error.restore();
  } catch (const nb::builtin_exception& error) {
    PyErr_SetString(
        error.type() == nb::exception_type::type_error ? PyExc_TypeError : PyExc_ValueError,
        error.what());
  } catch (const std::invalid_argument& error) {
    PyErr_SetString(PyExc_ValueError, error.what());
  } catch (const std::out_of_range& error) {
    PyErr_SetString(PyExc_IndexError, error.what());
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
}

PyObject* call_slot(PyObject* self, PyObject* args, PyObject* kwargs) {
  try {
    return nb::inst_ptr<Callable>(self)->call(args, kwargs).release().ptr();
  } catch (...) {
    set_python_error();
    return nullptr;
  }
}

}  // namespace dvm::python

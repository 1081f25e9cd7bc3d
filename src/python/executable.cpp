// `Executable`: a Graph as a Python callable. A call reads its tensors, looks up the plan of their shapes, allocates
// the results in the caller's framework and runs; a small one takes about a microsecond in all, so it goes through
// the type's own call slot and not through a bound method.
#include "runtime/executable.h"

#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <memory>
#include <stdexcept>

#include "python/convert.h"
#include "python/exchange.h"
#include "python/module.h"

namespace dvm::python {
namespace {

using nanobind::literals::operator""_a;

// Work below this takes less time than giving the GIL away and taking it back from a thread that wants it too.
constexpr std::int64_t kReleaseGilWork = 100'000;

struct Argument {
  bool scalar;
  int number;  // among the inputs or the scalars
  Type type;
  std::string name;
};

struct Callable {
  Callable(const Graph& graph, std::size_t cache_bytes, nb::handle like) : executable(graph, cache_bytes) {
    if (!like.is_none()) framework = framework_of(reinterpret_cast<PyTypeObject*>(like.ptr()));
    std::size_t input = 0, scalar = 0;
    while (input < graph.inputs().size() || scalar < graph.scalars().size()) {
      const bool is_scalar = input == graph.inputs().size() ||
                             (scalar < graph.scalars().size() && graph.scalars()[scalar] < graph.inputs()[input]);
      const Node& node = graph.node(is_scalar ? graph.scalars()[scalar] : graph.inputs()[input]);
      arguments.push_back({is_scalar, static_cast<int>(is_scalar ? scalar++ : input++), node.type, node.name});
    }
    inputs = input;
    scalars = scalar;
  }

  nb::object call(PyObject* args, PyObject* kwargs);

  Executable executable;
  std::vector<Argument> arguments;  // in the order of a call
  std::size_t inputs = 0, scalars = 0;
  Framework framework;  // of the results where no tensor comes in
};

// So many elements on the stack, more on the heap.
template <class T, std::size_t kUsual>
class Few {
 public:
  explicit Few(std::size_t count) : count_(count), more_(count > kUsual ? new T[count] : nullptr) {}
  T& operator[](std::size_t i) { return data()[i]; }
  T* data() { return more_ ? more_.get() : usual_; }
  std::span<T> span() { return {data(), count_}; }

 private:
  std::size_t count_;
  T usual_[kUsual];
  std::unique_ptr<T[]> more_;
};

struct Extent {
  const char* begin;
  const char* end;
  bool overlaps(const Extent& other) const { return begin < other.end && other.begin < end; }
};

// The bytes between the first and the last element; none if there is no element.
Extent extent(const TensorView& view) {
  const char* begin = static_cast<const char*>(view.data);
  const char* end = begin + bytes(view.type);
  for (int i = 0; i < view.rank; ++i) {
    if (view.sizes[i] == 0) return {begin, begin};
    const std::int64_t reach = (view.sizes[i] - 1) * view.strides[i];
    (reach < 0 ? begin : end) += reach;
  }
  return {begin, end};
}

// The caller's own tensors for the results.
class Out {
 public:
  Out(const Graph& graph, PyObject* out) : graph_(graph), object_(nb::borrow(out)) {
    const std::size_t wanted = graph.outputs().size();
    if (PyTuple_Check(out) || PyList_Check(out)) {
      for (const nb::handle item : object_) tensors_.push_back(nb::borrow(item));
    } else {
      tensors_.push_back(object_);
    }
    if (tensors_.size() != wanted) {
      throw nb::value_error(("[out] " + std::to_string(tensors_.size()) + " tensors came, " + graph.name() + " has " +
                             std::to_string(wanted) + " results").c_str());
    }
    borrowed_ = std::make_unique<Borrowed[]>(wanted);
    for (std::size_t i = 0; i < wanted; ++i) {
      const std::string name = std::to_string(i);
      borrowed_[i].take(tensors_[i].ptr(), {graph.name(), "out", name}, true);
      views_.push_back(borrowed_[i].view());
    }
  }

  std::span<const TensorView> views() const { return views_; }
  const nb::object& object() const { return object_; }

  void check(const LaunchPlan& plan, std::span<const TensorView> inputs) const {
    for (std::size_t i = 0; i < views_.size(); ++i) {
      const OutputPlan& wanted = plan.outputs[i];
      const TensorView& out = views_[i];
      if (out.type != wanted.type) {
        fail(i, "is " + std::string(info(out.type).text) + ", the result is " + std::string(info(wanted.type).text));
      }
      if (!std::equal(out.sizes, out.sizes + out.rank, wanted.layout.sizes, wanted.layout.sizes + wanted.layout.rank)) {
        fail(i, "has shape " + shape_text(out.sizes, out.rank) + ", the result has " +
                    shape_text(wanted.layout.sizes, wanted.layout.rank));
      }
      for (int k = 0; k < out.rank; ++k) {
        if (out.sizes[k] > 1 && out.strides[k] == 0) fail(i, "has elements that share their memory");
      }
      const Extent extent_i = extent(out);
      for (std::size_t j = 0; j < inputs.size(); ++j) {
        if (extent_i.overlaps(extent(inputs[j]))) fail(i, "overlaps input " + graph_.node(graph_.inputs()[j]).name);
      }
      for (std::size_t j = 0; j < i; ++j) {
        if (extent_i.overlaps(extent(views_[j]))) fail(i, "overlaps result " + std::to_string(j));
      }
    }
  }

  bool follows(const LaunchPlan& plan) const {
    for (std::size_t i = 0; i < views_.size(); ++i) {
      for (int k = 0; k < views_[i].rank; ++k) {
        if (views_[i].sizes[k] != 1 && views_[i].strides[k] != plan.outputs[i].layout.strides[k]) return false;
      }
    }
    return true;
  }

 private:
  [[noreturn]] void fail(std::size_t number, const std::string& what) const {
    throw nb::value_error(("[out] the tensor for result " + std::to_string(number) + " of " + graph_.name() + " " + what).c_str());
  }

  static std::string shape_text(const std::int64_t* sizes, int rank) {
    std::string text = "(";
    for (int i = 0; i < rank; ++i) text += (i ? ", " : "") + std::to_string(sizes[i]);
    return text + ")";
  }

  const Graph& graph_;
  nb::object object_;
  std::vector<nb::object> tensors_;
  std::unique_ptr<Borrowed[]> borrowed_;
  std::vector<TensorView> views_;
};

PyObject* out_argument(PyObject* kwargs, const Graph& graph) {
  if (kwargs == nullptr || PyDict_GET_SIZE(kwargs) == 0) return nullptr;
  PyObject* out = PyDict_GetItemString(kwargs, "out");
  if (PyDict_GET_SIZE(kwargs) > (out == nullptr ? 0 : 1)) {
    throw nb::type_error(("[" + graph.name() + "] the only keyword argument is out").c_str());
  }
  return out == Py_None ? nullptr : out;
}

nb::object Callable::call(PyObject* args, PyObject* kwargs) {
  const Graph& graph = executable.graph();
  PyObject* out = out_argument(kwargs, graph);
  if (PyTuple_GET_SIZE(args) != static_cast<Py_ssize_t>(arguments.size())) {
    std::string names;
    for (const Argument& argument : arguments) names += (names.empty() ? "" : ", ") + argument.name;
    throw nb::type_error(("[" + graph.name() + "] takes " + std::to_string(arguments.size()) + " arguments (" + names +
                          "), got " + std::to_string(PyTuple_GET_SIZE(args))).c_str());
  }

  Few<Borrowed, 6> borrowed(inputs);
  Few<TensorView, 6> views(inputs);
  Few<void*, 6> input_data(inputs);
  Few<std::uint64_t, 6> scalar_values(scalars);
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const Argument& argument = arguments[i];
    PyObject* object = PyTuple_GET_ITEM(args, i);
    if (argument.scalar) {
      scalar_values[argument.number] = scalar_bits(object, argument.type, {graph.name(), "scalar", argument.name});
    } else {
      borrowed[argument.number].take(object, {graph.name(), "input", argument.name});
      views[argument.number] = borrowed[argument.number].view();
      input_data[argument.number] = views[argument.number].data;
    }
  }

  std::shared_ptr<const LaunchPlan> plan = executable.plan(views.span(), scalar_values.span());
  const std::size_t count = plan->outputs.size();
  Few<void*, 4> output_data(count);
  const auto run = [&] {
    if (plan->work < kReleaseGilWork) {
      executable.run(*plan, input_data.span(), scalar_values.span(), output_data.span());
    } else {
      const nb::gil_scoped_release release;
      executable.run(*plan, input_data.span(), scalar_values.span(), output_data.span());
    }
  };

  if (out != nullptr) {
    const Out given(graph, out);
    given.check(*plan, views.span());
    if (!given.follows(*plan)) plan = executable.plan(views.span(), scalar_values.span(), given.views());
    for (std::size_t i = 0; i < count; ++i) output_data[i] = given.views()[i].data;
    run();
    return given.object();
  }

  Few<ResultTensor, 4> results(count);
  const Framework maker = inputs > 0 ? borrowed[0].framework() : framework;
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

PyObject* call_slot(PyObject* self, PyObject* args, PyObject* kwargs) {
  try {
    return nb::inst_ptr<Callable>(self)->call(args, kwargs).release().ptr();
  } catch (nb::python_error& error) {
    error.restore();
  } catch (const nb::builtin_exception& error) {
    PyErr_SetString(error.type() == nb::exception_type::type_error ? PyExc_TypeError : PyExc_ValueError, error.what());
  } catch (const std::invalid_argument& error) {
    PyErr_SetString(PyExc_ValueError, error.what());
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
  return nullptr;
}

// Contiguous inputs of these shapes, with no data: for what only looks at a plan.
class Shapes {
 public:
  Shapes(const Graph& graph, const std::vector<std::vector<std::int64_t>>& shapes) {
    if (shapes.size() != graph.inputs().size()) {
      throw std::invalid_argument("[" + graph.name() + "] expected " + std::to_string(graph.inputs().size()) +
                                  " shapes, one per input, got " + std::to_string(shapes.size()));
    }
    layouts_.reserve(shapes.size());
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      const Type type = graph.node(graph.inputs()[i]).type;
      if (shapes[i].size() > kMaxRank) throw std::invalid_argument("[" + graph.name() + "] more than 16 dimensions");
      const Layout& layout = layouts_.emplace_back(dense(shapes[i], bytes(type)));
      views_.push_back({nullptr, type, layout.rank, layout.sizes, layout.strides});
    }
  }
  std::span<const TensorView> views() const { return views_; }

 private:
  std::vector<Layout> layouts_;
  std::vector<TensorView> views_;
};

std::vector<std::uint64_t> symbol_bits(const Graph& graph, const std::vector<std::int64_t>& symbols) {
  std::vector<std::uint64_t> bits(graph.scalars().size(), 1);
  if (symbols.size() > bits.size()) throw std::invalid_argument("[" + graph.name() + "] has fewer scalars than came");
  std::ranges::transform(symbols, bits.begin(), [](std::int64_t value) { return static_cast<std::uint64_t>(value); });
  return bits;
}

nb::list programs(const Callable& self, const std::vector<std::vector<std::int64_t>>& shapes,
                  const std::vector<std::int64_t>& scalars) {
  const Graph& graph = self.executable.graph();
  const Shapes inputs(graph, shapes);
  nb::list list;
  for (Program& program : self.executable.programs(inputs.views(), symbol_bits(graph, scalars))) {
    list.append(nb::cast(std::move(program)));
  }
  return list;
}

nb::dict statistics(const Callable& self) {
  const CacheStatistics cache = self.executable.cache_statistics();
  const BuildTime time = self.executable.last_build_time();
  nb::dict last;
  last["bind_us"] = time.bind_us;
  last["schedule_us"] = time.schedule_us;
  last["encode_us"] = time.encode_us;
  last["total_us"] = time.total_us();
  nb::dict dict;
  dict["plans"] = cache.plans;
  dict["bytes"] = cache.bytes;
  dict["limit_bytes"] = cache.limit_bytes;
  dict["hits"] = cache.hits;
  dict["misses"] = cache.misses;
  dict["evictions"] = cache.evictions;
  dict["last_build"] = last;
  return dict;
}

nb::dict kernel_object(const Graph& graph, const Kernel& kernel) {
  nb::list operations, inputs, outputs, axes;
  for (const Term& term : kernel.terms) {
    if (term.op != Op::kCount) operations.append(text(info(term.op).name));
  }
  const auto tensor = [&](Value value, Type type) {
    nb::dict dict;
    dict["value"] = value;
    dict["name"] = graph.node(value).name.empty() ? "%" + std::to_string(value) : graph.node(value).name;
    dict["type"] = text(info(type).text);
    dict["shape"] = shape_object(graph.dims(), graph.node(value).shape);
    return dict;
  };
  for (const KernelInput& input : kernel.inputs) inputs.append(tensor(input.value, input.type));
  for (const KernelOutput& output : kernel.outputs) outputs.append(tensor(output.value, output.type));
  for (std::size_t k = 0; k < kernel.axes.size(); ++k) {
    nb::dict axis;
    axis["extent"] = dim_object(graph.dims(), kernel.axes[k]);
    axis["reduced"] = nb::bool_((kernel.reduced >> k & 1) != 0);
    axes.append(axis);
  }
  nb::dict dict;
  dict["name"] = kernel.name;
  dict["ops"] = operations;
  dict["inputs"] = inputs;
  dict["outputs"] = outputs;
  dict["axes"] = axes;
  return dict;
}

nb::dict explain(const Callable& self) {
  const Graph& graph = self.executable.graph();
  const Fusion& fusion = self.executable.fusion();
  nb::list kernels, steps;
  for (const Kernel& kernel : fusion.kernels) kernels.append(kernel_object(graph, kernel));
  for (const Step& step : fusion.steps) {
    if (step.kind == StepKind::kKernel) {
      steps.append(nb::make_tuple("kernel", step.index));
    } else {
      steps.append(nb::make_tuple("view", step.value));
    }
  }
  nb::dict dict;
  dict["graph"] = graph.name();
  dict["kernels"] = kernels;
  dict["steps"] = steps;
  dict["notes"] = fusion.notes;
  dict["plans"] = statistics(self);
  return dict;
}

PyType_Slot slots[] = {{Py_tp_call, reinterpret_cast<void*>(call_slot)}, {0, nullptr}};

}  // namespace

void bind_executable(nb::module_& module) {
  nb::class_<Callable>(module, "Executable", nb::type_slots(slots),
                       "A graph without calls, compiled once and run for any shapes. Called with its inputs and scalars\n"
                       "in the order of their declaration; the results are tensors of the framework of the first input.\n"
                       "Every result has memory of its own, also where it equals an input or is a view of one.")
      .def(
          "__init__",
          [](Callable* self, const Graph& graph, std::size_t cache_bytes, nb::handle like) {
            if (!like.is_none() && !PyType_Check(like.ptr())) throw nb::type_error("[Executable] like is a type of tensors");
            new (self) Callable(graph, cache_bytes, like);
          },
          "graph"_a, "cache_bytes"_a = std::size_t{16} << 20, "like"_a = nb::none(),
          nb::sig("def __init__(self, graph: Graph, cache_bytes: int = 16777216, like: type | None = None) -> None"),
          "`cache_bytes` bounds the plans kept. `like` is the type of the results where no tensor comes in.")
      .def("explain", &explain, nb::sig("def explain(self) -> dict[str, Any]"),
           "The kernels, the steps in their order, why neighbours were not fused, and `stats`.")
      .def("programs", &programs, "shapes"_a, "scalars"_a = std::vector<std::int64_t>{},
           nb::sig("def programs(self, shapes: Sequence[Sequence[int]], scalars: Sequence[int] = ()) -> list[Program]"),
           "The bytecode for contiguous inputs of these shapes. `scalars` matter where they stand for dimensions.")
      .def("clear_cache", [](Callable& self) { self.executable.clear_cache(); }, "Forgets all plans.")
      .def_prop_ro("stats", &statistics, nb::sig("def stats(self) -> dict[str, Any]"),
                   "Plans kept and their bytes, hits, misses, evictions, and the time the last plan took to make.")
      .def_prop_ro("graph", [](const Callable& self) -> const Graph& { return self.executable.graph(); },
                   nb::rv_policy::reference_internal);
}

}  // namespace dvm::python

// What a recorder tells of itself, and the class in Python.
#include <nanobind/stl/string.h>

#include "graph/text.h"
#include "python/module.h"
#include "python/recorder.h"

namespace dvm::python {

using nanobind::literals::operator""_a;

nb::dict Recorder::account() const {
  nb::dict dict, ends, fallbacks;
  for (const auto& [why, count] : ends_) ends[nb::str(why.c_str())] = count;
  for (const auto& [name, count] : fallbacks_) fallbacks[nb::str(name.c_str())] = count;
  nb::list segments;
  for (const auto& [segment, runs] : runs_) {
    nb::dict one;
    one["runs"] = runs.count;
    one["run_us"] = runs.us;
    one["compile_us"] = segment->compile_us;
    one["operations"] = segment->steps;
    one["kernels"] = segment->executable->flow().fusion.kernels.size();
    one["graph"] = nb::str(print(segment->executable->graph()).c_str());
    segments.append(one);
  }
  dict["recorded"] = recorded_;
  dict["dead"] = dead_;
  dict["templates"] = Vocabulary::process().size();
  dict["ends"] = ends;
  dict["fallbacks"] = fallbacks;
  dict["segments"] = segments;
  return dict;
}

void bind_recorder(nb::module_& module) {
  nb::class_<Recorder>(module, "Recorder",
                       "Records the operations of an eager program; see dvm.torch.eager.")
      .def(nb::init<nb::handle, nb::object, nb::object, int, std::int64_t>(), "helper"_a,
           "tensor"_a, "parameter"_a, "limit"_a, "least_elements"_a)
      .def(
          "call",
          [](Recorder& self, nb::object function, nb::tuple args, nb::object kwargs,
             bool dispatched) {
            return self.call(function.ptr(), args.ptr(), kwargs.is_none() ? nullptr : kwargs.ptr(),
                             dispatched);
          },
          "function"_a, "args"_a, "kwargs"_a.none(), "dispatched"_a,
          nb::sig("def call(self, function: object, args: tuple[typing.Any, ...], kwargs: object | "
                  "None, dispatched: bool) -> typing.Any"))
      .def("flush", &Recorder::flush, "why"_a)
      .def("account", &Recorder::account, nb::sig("def account(self) -> dict[str, typing.Any]"))
      .def_rw("trusting", &Recorder::trusting);
}

}  // namespace dvm::python

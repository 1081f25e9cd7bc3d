// `Executable`: a Graph as a Python callable (callable.h), and what can be asked about it.
#include "runtime/executable.h"

#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <stdexcept>

#include "graph/windows.h"
#include "python/callable.h"
#include "python/convert.h"
#include "python/module.h"
#include "python/plans.h"
#include "runtime/overwriting.h"
#include "runtime/profile.h"

namespace dvm::python {
namespace {

using nanobind::literals::operator""_a;

// Contiguous inputs of these shapes, with no data: for what only looks at a plan.
class Shapes {
 public:
  Shapes(const Graph& graph, const std::vector<std::vector<std::int64_t>>& shapes) {
    if (shapes.size() != graph.inputs().size()) {
      throw std::invalid_argument("[" + graph.name() + "] expected " +
                                  std::to_string(graph.inputs().size()) +
                                  " shapes, one per input, got " + std::to_string(shapes.size()));
    }
    layouts_.reserve(shapes.size());
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      const Type type = graph.node(graph.inputs()[i]).type;
      if (shapes[i].size() > kMaxRank)
        throw std::invalid_argument("[" + graph.name() + "] more than 16 dimensions");
      const Layout& layout = layouts_.emplace_back(dense(shapes[i], bytes(type)));
      views_.push_back({nullptr, type, layout.rank, layout.sizes, layout.strides});
    }
  }
  std::span<const TensorView> views() const { return views_; }

 private:
  std::vector<Layout> layouts_;
  std::vector<TensorView> views_;
};

std::vector<std::uint64_t> symbol_bits(const Graph& graph,
                                       const std::vector<std::int64_t>& symbols) {
  std::vector<std::uint64_t> bits(graph.scalars().size(), 1);
  if (symbols.size() > bits.size())
    throw std::invalid_argument("[" + graph.name() + "] has fewer scalars than came");
  std::ranges::transform(symbols, bits.begin(),
                         [](std::int64_t value) { return static_cast<std::uint64_t>(value); });
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

nb::dict plan(const Callable& self, const std::vector<std::vector<std::int64_t>>& shapes,
              const std::vector<std::int64_t>& scalars) {
  const Flow& flow = self.executable.flow();
  const Shapes inputs(flow.graph, shapes);
  flow.binding.check_types(inputs.views());
  const std::vector<std::uint64_t> bits = symbol_bits(flow.graph, scalars);
  const Flow& chosen = self.executable.versions().choose(inputs.views(), bits);
  const LaunchPlan plan = make_launch_plan(chosen, inputs.views(), bits);
  nb::list kernels, stages;
  for (const Launch& launch : plan.launches) {
    kernels.append(launch_name(chosen, launch));
  }
  for (const cpu::Stage& stage : plan.stages) stages.append(stage.count);
  nb::dict dict;
  dict["kernels"] = kernels;
  dict["stages"] = stages;
  dict["arena_bytes"] = plan.arena_bytes;
  dict["plan_bytes"] = plan.bytes();
  return dict;
}

nb::dict statistics(const Callable& self) {
  const BuildTime time = self.executable.last_build_time();
  nb::dict last;
  last["bind_us"] = time.bind_us;
  last["schedule_us"] = time.schedule_us;
  last["encode_us"] = time.encode_us;
  last["total_us"] = time.total_us();
  nb::dict dict = plans_object(self.executable.cache_statistics());
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
    dict["name"] =
        graph.node(value).name.empty() ? "%" + std::to_string(value) : graph.node(value).name;
    dict["type"] = text(info(type).text);
    dict["shape"] = shape_object(graph.dims(), graph.node(value).shape);
    return dict;
  };
  for (const KernelInput& input : kernel.inputs) inputs.append(tensor(input.value, input.type));
  for (int o = 0; o < static_cast<int>(kernel.outputs.size()); ++o) {
    nb::dict output = tensor(kernel.outputs[o].value, kernel.outputs[o].type);
    nb::list over;
    for (int i = 0; i < static_cast<int>(kernel.inputs.size()); ++i) {
      if (reads_where_it_writes(kernel, i, o)) over.append(kernel.inputs[i].value);
    }
    output["over"] = over;
    outputs.append(output);
  }
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

nb::list operands_list(const Graph& graph, const Node& node) {
  nb::list operands;
  for (const Value operand : node.operands) {
    nb::dict dict;
    dict["value"] = operand;
    dict["type"] = std::string(info(graph.node(operand).type).text);
    dict["shape"] = shape_object(graph.dims(), graph.node(operand).shape);
    operands.append(dict);
  }
  return operands;
}

// A matrix product, and the number of the Kernel that finishes its tiles.
nb::dict matmul_object(const Graph& graph, const Step& step) {
  const Node& node = graph.node(step.value);
  nb::dict dict;
  dict["value"] = step.value;
  dict["type"] = text(info(node.type).text);
  dict["shape"] = shape_object(graph.dims(), node.shape);
  dict["operands"] = operands_list(graph, node);
  dict["epilogue"] = step.index < 0 ? nb::object(nb::none()) : nb::object(nb::int_(step.index));
  return dict;
}

// A convolution, its windows, and the number of the Kernel that finishes its tiles.
nb::dict convolution_object(const Graph& graph, const Step& step) {
  const Windows moves = windows(graph.node(step.value));
  nb::dict dict = matmul_object(graph, step);
  dict["stride"] = moves.stride;
  dict["groups"] = moves.groups;
  dict["transposed"] = moves.transposed;
  return dict;
}

// A pool, its windows, and the number of the Kernel that finishes its tiles.
nb::dict pool_object(const Graph& graph, const Step& step) {
  const Node& node = graph.node(step.value);
  nb::dict dict = matmul_object(graph, step);
  dict["op"] = text(info(node.op).name);
  dict["taps"] = windows(node).taps;
  return dict;
}

// A scan. No Kernel finishes its tiles.
nb::dict scan_object(const Graph& graph, const Step& step) {
  const Node& node = graph.node(step.value);
  nb::dict dict = matmul_object(graph, step);
  dict["op"] = text(info(node.op).name);
  dict["axis"] = node.axes[0];
  return dict;
}

// An attention: its operands, scale, and whether it is causal.
nb::dict attention_object(const Graph& graph, Value value) {
  const Node& node = graph.node(value);
  nb::dict dict;
  dict["value"] = value;
  dict["type"] = text(info(node.type).text);
  dict["shape"] = shape_object(graph.dims(), node.shape);
  dict["operands"] = operands_list(graph, node);
  dict["scale"] = scoring(node).scale;
  dict["causal"] = scoring(node).causal;
  return dict;
}

// A concat, and which of its operands are copied into it: the others are made where they lie in it.
nb::dict concat_object(const Flow& flow, Value value) {
  const Node& node = flow.graph.node(value);
  const FlowTensor& whole = flow.tensors[flow.tensor_of(value)];
  nb::list copied;
  for (std::size_t i = 0; i < whole.parts.size(); ++i) {
    if (whole.parts[i].written < 0) copied.append(node.operands[i]);
  }
  nb::dict dict;
  dict["value"] = value;
  dict["type"] = text(info(node.type).text);
  dict["shape"] = shape_object(flow.graph.dims(), node.shape);
  dict["operands"] = node.operands;
  dict["copied"] = copied;
  return dict;
}

// Each guard, and how many kernels there would be if it held and no other.
nb::list guards_list(Versions& versions) {
  nb::list list;
  const Flow& base = versions.base();
  for (std::size_t i = 0; i < base.fusion.guards.size(); ++i) {
    const auto& [a, b] = base.fusion.guards[i];
    nb::dict dict;
    dict["equal"] =
        nb::make_tuple(dim_object(base.graph.dims(), a), dim_object(base.graph.dims(), b));
    dict["kernels"] = versions.kernels(GuardMask{1} << i);
    list.append(dict);
  }
  return list;
}

nb::dict explain(const Callable& self) {
  const Flow& flow = self.executable.flow();
  const Graph& graph = flow.graph;
  const Fusion& fusion = flow.fusion;
  nb::list kernels, matmuls, convolutions, pools, scans, attentions, concats, steps;
  for (const Kernel& kernel : fusion.kernels) kernels.append(kernel_object(graph, kernel));
  for (const Step& step : fusion.steps) {
    if (step.kind == StepKind::kKernel) {
      steps.append(nb::make_tuple("kernel", step.index));
    } else {
      steps.append(nb::make_tuple(name(step.kind), step.value));
      if (step.kind == StepKind::kConcat) concats.append(concat_object(flow, step.value));
      if (step.kind == StepKind::kAttention) attentions.append(attention_object(graph, step.value));
      if (step.kind == StepKind::kMatmul) matmuls.append(matmul_object(graph, step));
      if (step.kind == StepKind::kPool) pools.append(pool_object(graph, step));
      if (step.kind == StepKind::kScan) scans.append(scan_object(graph, step));
      if (step.kind == StepKind::kConvolve) convolutions.append(convolution_object(graph, step));
    }
  }
  nb::dict dict;
  dict["graph"] = graph.name();
  dict["kernels"] = kernels;
  dict["matmuls"] = matmuls;
  dict["convolutions"] = convolutions;
  dict["pools"] = pools;
  dict["scans"] = scans;
  dict["attentions"] = attentions;
  dict["concats"] = concats;
  dict["steps"] = steps;
  dict["notes"] = fusion.notes;
  dict["guards"] = guards_list(self.executable.versions());
  dict["stats"] = statistics(self);
  return dict;
}

nb::list stop_profile() {
  nb::list list;
  for (const KernelTime& time : Profile::stop()) {
    nb::dict dict;
    dict["graph"] = time.graph;
    dict["kernel"] = time.kernel;
    dict["number"] = time.number;
    dict["launches"] = time.launches;
    dict["threads"] = time.threads;
    dict["begin_ns"] = time.begin;
    dict["end_ns"] = time.end;
    dict["bytes"] = time.bytes;
    list.append(dict);
  }
  return list;
}

PyType_Slot slots[] = {{Py_tp_call, reinterpret_cast<void*>(call_slot)}, {0, nullptr}};

}  // namespace

void bind_executable(nb::module_& module) {
  nb::class_<Callable>(
      module, "Executable", nb::type_slots(slots),
      "A graph, compiled once and run for any shapes. Called with its inputs and "
      "scalars\n"
      "in the order of their declaration; the results are tensors of the framework of the first "
      "input.\n"
      "Every result has memory of its own, also where it equals an input or is a view of one.")
      .def(
          "__init__",
          [](Callable* self, const Graph& graph, std::size_t cache_bytes, nb::handle like,
             bool speculate) {
            if (!like.is_none() && !PyType_Check(like.ptr()))
              throw nb::type_error("[Executable] like is a type of tensors");
            new (self) Callable(graph, cache_bytes, like, speculate);
          },
          "graph"_a, "cache_bytes"_a = std::size_t{64} << 20, "like"_a = nb::none(),
          "speculate"_a = true,
          nb::sig("def __init__(self, graph: Graph, cache_bytes: int = 67108864, like: type | None "
                  "= None, speculate: bool = True) -> None"),
          "`cache_bytes` bounds the plans kept, besides the bound of all Executables together: see "
          "set_plan_bytes(). `like` is the type of the results where no tensor "
          "comes in. With `speculate`\n"
          "calls in which sizes happen to be equal may run fewer kernels: see `guards` in "
          "explain().")
      .def(
          "explain", &explain, nb::sig("def explain(self) -> dict[str, typing.Any]"),
          "The kernels of the version for all calls, the `guards` under which there are fewer, the "
          "`concats` with the operands that are copied into them, the steps in "
          "their "
          "order, why neighbours\n"
          "were not fused, and `stats`.")
      .def(
          "programs", &programs, "shapes"_a, "scalars"_a = std::vector<std::int64_t>{},
          nb::sig(
              "def programs(self, shapes: collections.abc.Sequence[collections.abc.Sequence[int]], "
              "scalars: collections.abc.Sequence[int] = ()) -> list[Program]"),
          "The bytecode for contiguous inputs of these shapes. `scalars` matter where they stand "
          "for dimensions.")
      .def(
          "plan", &plan, "shapes"_a, "scalars"_a = std::vector<std::int64_t>{},
          nb::sig("def plan(self, shapes: collections.abc.Sequence[collections.abc.Sequence[int]], "
                  "scalars: collections.abc.Sequence[int] = ()) -> dict[str, typing.Any]"),
          "What a call with contiguous inputs of these shapes does: the kernel of each launch (-1 "
          "for a copy), how many\n"
          "launches each stage runs at once, and the bytes of the arena and of the plan itself.")
      .def(
          "clear_cache", [](Callable& self) { self.executable.clear_cache(); },
          "Forgets all plans.")
      .def_prop_ro("stats", &statistics, nb::sig("def stats(self) -> dict[str, typing.Any]"),
                   "Plans kept and their bytes, hits, misses, evictions (also those for the sake "
                   "of the process's bound), and\n"
                   "the time the last plan took to make.")
      .def_prop_ro(
          "graph", [](const Callable& self) -> const Graph& { return self.executable.graph(); },
          nb::rv_policy::reference_internal);
  module.def("start_profile", &Profile::start,
             "From now on notes the kernels that calls of this thread run, which then run one by "
             "one; see dvm.profile. Raises\n"
             "ValueError where a profile is on.");
  module.def("stop_profile", &stop_profile,
             nb::sig("def stop_profile() -> list[dict[str, typing.Any]]"),
             "Ends start_profile(): what each kernel of each call took, in the order in which they "
             "ran. Times are nanoseconds\n"
             "of the steady clock, which time.perf_counter_ns tells too; `bytes` are those read "
             "and written, once for each\n"
             "tensor; `number` is -1 for a copy.");
}

}  // namespace dvm::python

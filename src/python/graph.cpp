// `Graph`, and what can be asked about one: how it is fused.
#include "graph/graph.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <bit>
#include <cmath>
#include <stdexcept>

#include "fuse/fuse.h"
#include "graph/text.h"
#include "graph/windows.h"
#include "python/convert.h"
#include "python/facts.h"
#include "python/module.h"
#include "python/remake.h"

namespace dvm::python {
namespace {

using nanobind::literals::operator""_a;

const char* kind_name(NodeKind kind) {
  switch (kind) {
    case NodeKind::kInput:
      return "input";
    case NodeKind::kScalar:
      return "scalar";
    case NodeKind::kConstant:
      return "constant";
    case NodeKind::kSize:
      return "size";
    case NodeKind::kIota:
      return "iota";
    case NodeKind::kElementwise:
      return "elementwise";
    case NodeKind::kCast:
      return "cast";
    case NodeKind::kReduce:
      return "reduce";
    case NodeKind::kPermute:
      return "permute";
    case NodeKind::kExpand:
      return "expand";
    case NodeKind::kReshape:
      return "reshape";
    case NodeKind::kSlice:
      return "slice";
    case NodeKind::kGather:
      return "gather";
    case NodeKind::kAttention:
      return "attention";
    case NodeKind::kMatmul:
      return "matmul";
    case NodeKind::kConvolve:
      return "convolve";
    case NodeKind::kPool:
      return "pool";
    case NodeKind::kScan:
      return "scan";
    case NodeKind::kConcat:
      return "concat";
  }
  return "";
}

// The parameters are checked here so that a bad value number is an error and not an access out of bounds.
const Node& node_of(const Graph& graph, Value value) {
  if (value < 0 || value >= static_cast<Value>(graph.nodes().size())) {
    throw std::invalid_argument("[" + graph.name() + "] has no value %" + std::to_string(value));
  }
  return graph.node(value);
}

nb::object number_of(const Node& node) {
  switch (compute(node.type)) {
    case Type::f32:
      return nb::float_(std::bit_cast<float>(static_cast<std::uint32_t>(node.bits)));
    case Type::f64:
      return nb::float_(std::bit_cast<double>(node.bits));
    case Type::i32:
      return nb::int_(static_cast<std::int32_t>(node.bits));
    case Type::bool_:
      return nb::bool_(node.bits != 0);
    default:
      return nb::int_(static_cast<std::int64_t>(node.bits));
  }
}

Value add_constant(Graph& graph, nb::handle value, const std::string& type_text) {
  const Type type = parse_type(type_text, "constant");
  if (PyFloat_Check(value.ptr())) return graph.constant(nb::cast<double>(value), type);
  if (!PyIndex_Check(value.ptr())) {
    throw nb::type_error(
        (std::string("[constant] expected a number, got ") + Py_TYPE(value.ptr())->tp_name)
            .c_str());
  }
  const nb::object integer = nb::steal(PyNumber_Index(value.ptr()));
  int overflow = 0;
  const long long bits = PyLong_AsLongLongAndOverflow(integer.ptr(), &overflow);
  if (overflow == 0) return graph.constant(static_cast<std::int64_t>(bits), type);
  if (info(type).kind == Kind::kFloat) {
    const double number = PyLong_AsDouble(integer.ptr());
    if (number == -1.0 && PyErr_Occurred()) throw nb::python_error();
    return graph.constant(number, type);
  }
  throw std::invalid_argument("[constant] the integer does not fit 64 bits");
}

nb::dict node_object(const Graph& graph, Value value) {
  const Node& node = node_of(graph, value);
  nb::dict dict;
  dict["kind"] = kind_name(node.kind);
  dict["type"] = text(info(node.type).text);
  dict["operands"] = node.operands;
  dict["shape"] = shape_object(graph.dims(), node.shape);
  if (node.op != Op::kCount) dict["op"] = text(info(node.op).name);
  if (!node.axes.empty()) dict["axes"] = node.axes;
  if (node.kind == NodeKind::kConstant) dict["value"] = number_of(node);
  if (node.kind == NodeKind::kSize || node.kind == NodeKind::kSlice)
    dict["dim"] = dim_object(graph.dims(), node.dim);
  if (node.kind == NodeKind::kAttention) {
    const Scoring told = scoring(node);
    dict["scale"] = told.scale;
    dict["causal"] = told.causal;
    dict["hidden"] = told.hidden;
    dict["nan_if_blind"] = told.nan_if_blind;
  }
  if (node.kind == NodeKind::kConvolve || node.kind == NodeKind::kPool) {
    const Windows moves = windows(node);
    dict["stride"] = moves.stride;
    dict["before"] = moves.before;
    dict["after"] = moves.after;
    dict["dilation"] = moves.dilation;
    dict["taps"] = moves.taps;
    dict["groups"] = moves.groups;
    dict["transposed"] = moves.transposed;
  }
  if (!node.name.empty()) dict["name"] = node.name;
  return dict;
}

// As many numbers for padding as there are axes, or twice as many: all ends before, then all after. Lists that are left out
// are filled with what changes nothing.
Windows make_windows(const Graph& graph, Value x, std::vector<int> stride, std::vector<int> padding,
                     std::vector<int> dilation) {
  const std::size_t rank = node_of(graph, x).shape.size(), axes = rank < 2 ? 0 : rank - 2;
  if (stride.empty()) stride.assign(axes, 1);
  if (dilation.empty()) dilation.assign(axes, 1);
  if (padding.empty()) padding.assign(axes, 0);
  std::vector<int> after = padding;
  if (padding.size() == 2 * axes) {
    after.erase(after.begin(), after.begin() + static_cast<std::ptrdiff_t>(axes));
    padding.resize(axes);
  }
  return {.stride = std::move(stride),
          .before = std::move(padding),
          .after = std::move(after),
          .dilation = std::move(dilation)};
}

Value add_convolution(Graph& graph, Value x, Value weight, std::vector<int> stride,
                      std::vector<int> padding, std::vector<int> dilation, int groups,
                      bool transposed) {
  Windows windows =
      make_windows(graph, x, std::move(stride), std::move(padding), std::move(dilation));
  windows.groups = groups;
  windows.transposed = transposed;
  return graph.convolve(x, weight, windows);
}

Value add_pool(Graph& graph, const std::string& op, Value x, std::vector<int> taps,
               std::vector<int> stride, std::vector<int> padding, std::vector<int> dilation) {
  Windows windows =
      make_windows(graph, x, std::move(stride), std::move(padding), std::move(dilation));
  windows.taps = std::move(taps);
  return graph.pool(parse_op(op), x, windows);
}

nb::dict fuse_object(const Graph& source) {
  Graph graph = source;
  const Fusion fusion = fuse(graph);
  nb::list steps;
  for (const Step& step : fusion.steps) {
    if (step.kind == StepKind::kKernel) {
      const Kernel& kernel = fusion.kernels[step.index];
      nb::list inputs, outputs;
      for (const KernelInput& input : kernel.inputs) inputs.append(input.value);
      for (const KernelOutput& output : kernel.outputs) outputs.append(output.value);
      steps.append(nb::make_tuple("kernel", inputs, kernel.scalars, outputs, kernel.name));
    } else {
      steps.append(nb::make_tuple(name(step.kind), step.value));
    }
  }
  nb::dict dict;
  dict["graph"] = print(graph);
  dict["steps"] = steps;
  dict["notes"] = fusion.notes;
  return dict;
}

}  // namespace

void bind_graph(nb::module_& module) {
  nb::class_<Graph> graph(
      module, "Graph",
      "Tensor operations in SSA form. Values are ints; a dimension is an int or an "
      "expression over\n"
      "symbols: \"n\", \"(n*12)\", \"((n+1)//2)\".");
  bind_remaking(graph);
  graph.def(nb::init<std::string>(), "name"_a = "graph")
      .def(
          "input",
          [](Graph& g, std::string name, const std::string& type, nb::handle shape, bool weight) {
            return g.input(std::move(name), parse_type(type, "input"), parse_shape(g.dims(), shape),
                           weight);
          },
          "name"_a, "type"_a, "shape"_a, "weight"_a = false,
          nb::sig("def input(self, name: str, type: str, shape: collections.abc.Sequence[int | "
                  "str], weight: bool = False) -> int"),
          "A tensor argument. A weight is the same tensor in most calls, and seldom changes: "
          "products may read a packed\n"
          "copy of it, which is made anew when it does change.")
      .def(
          "scalar",
          [](Graph& g, std::string name, const std::string& type) {
            return g.scalar(std::move(name), parse_type(type, "scalar"));
          },
          "name"_a, "type"_a,
          "A number that may change at every call without a new plan. An i64 scalar with the name "
          "of a symbol that\n"
          "no input's shape gives binds that symbol, and is then part of the shapes of a call.")
      .def("constant", &add_constant, "value"_a, "type"_a,
           nb::sig("def constant(self, value: float, type: str) -> int"))
      .def(
          "size",
          [](Graph& g, nb::handle dim, const std::string& type) {
            return g.size(parse_dim(g.dims(), dim), parse_type(type, "size"));
          },
          "dim"_a, "type"_a, nb::sig("def size(self, dim: int | str, type: str) -> int"),
          "The value of a dimension, as a 0-d tensor.")
      .def(
          "iota",
          [](Graph& g, nb::handle shape, int axis) {
            return g.iota(parse_shape(g.dims(), shape), axis);
          },
          "shape"_a, "axis"_a,
          nb::sig("def iota(self, shape: collections.abc.Sequence[int | str], axis: int) -> int"),
          "The position along `axis`, as i64.")
      .def(
          "elementwise",
          [](Graph& g, const std::string& op, std::vector<Value> operands) {
            return g.elementwise(parse_op(op), std::move(operands));
          },
          "op"_a, "operands"_a,
          "An instruction of the table on operands of equal types, which are broadcast.")
      .def(
          "cast",
          [](Graph& g, Value value, const std::string& type) {
            return g.cast(value, parse_type(type, "cast"));
          },
          "value"_a, "type"_a)
      .def(
          "reduce",
          [](Graph& g, const std::string& op, Value value, std::vector<int> axes) {
            return g.reduce(parse_op(op), value, std::move(axes));
          },
          "op"_a, "value"_a, "axes"_a = std::vector<int>{},
          nb::sig("def reduce(self, op: str, value: int, axes: collections.abc.Sequence[int] = ()) "
                  "-> int"),
          "Reduces over `axes`, all if there are none, and keeps them with size 1.")
      .def("permute", &Graph::permute, "value"_a, "axes"_a)
      .def(
          "expand",
          [](Graph& g, Value value, nb::handle shape) {
            return g.expand(value, parse_shape(g.dims(), shape));
          },
          "value"_a, "shape"_a,
          nb::sig(
              "def expand(self, value: int, shape: collections.abc.Sequence[int | str]) -> int"))
      .def(
          "reshape",
          [](Graph& g, Value value, nb::handle shape) {
            return g.reshape(value, parse_shape(g.dims(), shape));
          },
          "value"_a, "shape"_a,
          nb::sig(
              "def reshape(self, value: int, shape: collections.abc.Sequence[int | str]) -> int"))
      .def(
          "slice",
          [](Graph& g, Value value, int axis, nb::handle start, nb::handle length, int step) {
            return g.slice(value, axis, parse_dim(g.dims(), start), parse_dim(g.dims(), length),
                           step);
          },
          "value"_a, "axis"_a, "start"_a, "length"_a, "step"_a = 1,
          nb::sig("def slice(self, value: int, axis: int, start: int | str, length: int | str, "
                  "step: int = 1) -> int"),
          "`length` elements of `axis`, every `step`-th from `start` on.")
      .def("gather", &Graph::gather, "value"_a, "index"_a, "axis"_a,
           "As NumPy's take_along_axis, all other axes being broadcast. `index` is i64; one beyond "
           "the ends reads the\n"
           "nearest element: add a check.")
      .def("fact", &state_fact, "kind"_a, "dim"_a, "values"_a, "source"_a = "user",
           nb::sig("def fact(self, kind: str, dim: int | str, *values: int | str | "
                   "collections.abc.Sequence[int] | None, source: str = 'user') -> None"),
           "States what is known of dimensions: (\"equal\", a, b), (\"multiple\", dim, k), "
           "(\"range\", dim, low, high),\n"
           "where None is no end, or (\"likely\", dim, values), a hint. Raises ValueError when it "
           "contradicts what is known;\n"
           "a call whose sizes break it raises ValueError naming the fact and the sizes.")
      .def_prop_ro(
          "facts", &facts_object, nb::sig("def facts(self) -> list[dict[str, typing.Any]]"),
          "Kind, text and source of all that was stated of dimensions (`given`) or follows "
          "from operations.")
      .def("check", &Graph::check, "condition"_a, "message"_a,
           "States that `condition`, one bool, holds. A call for which it does not raises "
           "IndexError with this message.")
      .def(
          "attention",
          [](Graph& graph, Value q, Value k, Value v, std::optional<Value> mask, double scale,
             bool causal, double hidden, bool nan_if_blind, MemoryOrder order) {
            return graph.attention(q, k, v, mask, {scale, causal, hidden, nan_if_blind},
                                   std::move(order));
          },
          "q"_a, "k"_a, "v"_a, "mask"_a = nb::none(), "scale"_a, "causal"_a = false,
          "hidden"_a = -std::numeric_limits<double>::infinity(), "nan_if_blind"_a = false,
          "order"_a = MemoryOrder{},
          nb::sig("def attention(self, q: int, k: int, v: int, mask: int | None = None, *, scale: "
                  "float, causal: bool = False, hidden: float = float('-inf'), nan_if_blind: bool "
                  "= False, order: collections.abc.Sequence[int] = ()) -> int"),
          "softmax(scale * q k^T + mask) v over the last two axes, those before them broadcast. "
          "All f32, or k and v f16 or bf16. A mask may be bool: where\n"
          "it is false a score becomes `hidden`. If `causal`, row i sees the columns up to i. A "
          "row of scores that are all -inf gives zeros, or NaN if\n"
          "`nan_if_blind`. `order` is that of the result's axes in memory, as for output().")
      .def("matmul", &Graph::matmul, "a"_a, "b"_a,
           "The matrix product of the last two axes, the axes before them broadcast. "
           "isa/products.def has the types.")
      .def("matmul_grouped", &Graph::matmul_grouped, "a"_a, "b"_a, "ends"_a,
           "The rows of a [rows, k] times the matrix of their group in b [groups, k, n]. Group g "
           "has "
           "the rows from ends[g - 1] to\nends[g], i32 or i64 [groups]; an end that is less than "
           "the one before, or beyond the rows, counts as the\nnearest that is not. Rows behind "
           "the last end give zeros.")
      .def(
          "matmul_scaled", &Graph::matmul_scaled, "a"_a, "b"_a, "scales"_a, "bits"_a,
          "The product of a, f32, with integers of 8 or 4 bits times scales: b is i8 [..., k, n], "
          "or u8 [..., k / 2, n]\nthat holds two elements along k, the first in the low half, from "
          "which 8 is taken; scales is f32\n[..., groups, n], and k / groups elements share one.")
      .def("convolve", &add_convolution, "x"_a, "weight"_a, "stride"_a = std::vector<int>{},
           "padding"_a = std::vector<int>{}, "dilation"_a = std::vector<int>{}, "groups"_a = 1,
           "transposed"_a = false,
           nb::sig("def convolve(self, x: int, weight: int, stride: collections.abc.Sequence[int] "
                   "= (), padding: collections.abc.Sequence[int] = (), dilation: "
                   "collections.abc.Sequence[int] = (), groups: int = 1, transposed: bool = "
                   "False) -> int"),
           "The convolution of x [n, c, ...], with one to three axes more, and a weight [o, c / "
           "groups, ...]; transposed\n"
           "the weight is [c, o / groups, ...]. All f32. `padding` has a number for each axis, or "
           "all those before and\n"
           "then all those after, where transposed convolutions take a negative one for more "
           "elements.")
      .def(
          "pool", &add_pool, "op"_a, "x"_a, "taps"_a, "stride"_a = std::vector<int>{},
          "padding"_a = std::vector<int>{}, "dilation"_a = std::vector<int>{},
          nb::sig("def pool(self, op: str, x: int, taps: collections.abc.Sequence[int], stride: "
                  "collections.abc.Sequence[int] = (), padding: collections.abc.Sequence[int] = "
                  "(), dilation: collections.abc.Sequence[int] = ()) -> int"),
          "The \"max\" or \"sum\" of each window of `taps` elements of x [n, c, ...], f32. What is "
          "beyond the ends counts for nothing.")
      .def(
          "scan",
          [](Graph& g, const std::string& op, Value x, int axis) {
            return g.scan(parse_op(op), x, axis);
          },
          "op"_a, "x"_a, "axis"_a,
          "The \"sum\" or \"prod\" of the elements of x up to each one along `axis`: f32, f64, i32 "
          "or "
          "i64.")
      .def("concat", &Graph::concat, "operands"_a, "axis"_a,
           "The operands one behind the other along `axis`.")
      .def(
          "output",
          [](Graph& g, Value value, MemoryOrder order) { g.output(value, std::move(order)); },
          "value"_a, "order"_a = MemoryOrder{},
          nb::sig(
              "def output(self, value: int, order: collections.abc.Sequence[int] = ()) -> None"),
          "`order` lists the axes as they lie in memory, outermost first; none means contiguous.")
      .def(
          "kind", [](const Graph& g, Value value) { return kind_name(node_of(g, value).kind); },
          "value"_a,
          "What made a value, as the method that did is called; a matmul_scaled is a matmul.")
      .def(
          "operands", [](const Graph& g, Value value) { return node_of(g, value).operands; },
          "value"_a)
      .def(
          "type",
          [](const Graph& g, Value value) { return text(info(node_of(g, value).type).text); },
          "value"_a)
      .def(
          "shape",
          [](const Graph& g, Value value) {
            return shape_object(g.dims(), node_of(g, value).shape);
          },
          "value"_a, nb::sig("def shape(self, value: int) -> list[int | str]"))
      .def(
          "rank", [](const Graph& g, Value value) { return node_of(g, value).shape.size(); },
          "value"_a)
      .def("node", &node_object, "value"_a,
           nb::sig("def node(self, value: int) -> dict[str, typing.Any]"),
           "What a value is: kind, type, shape, operands, and what else belongs to its kind.")
      .def_static("parse", &parse_graph, "text"_a, "Reads the text form, which str() gives.")
      .def("__str__", &print)
      .def("__len__", [](const Graph& g) { return g.nodes().size(); })
      .def_prop_ro("name", &Graph::name)
      .def_prop_ro("inputs", &Graph::inputs)
      .def_prop_ro(
          "weights",
          [](const Graph& g) {
            nb::set weights;
            for (const Value input : g.inputs()) {
              if (g.node(input).is_weight) weights.add(nb::int_(input));
            }
            return weights;
          },
          nb::sig("def weights(self) -> set[int]"), "The inputs that are weights.")
      .def_prop_ro("scalars", &Graph::scalars)
      .def_prop_ro("outputs", &Graph::outputs);

  module.def("fuse", &fuse_object, "graph"_a,
             nb::sig("def fuse(graph: Graph) -> dict[str, typing.Any]"),
             "How a graph is cut into kernels: the \"graph\" once its reshapes are stitched, "
             "\"steps\", a list of (\"kernel\", inputs, scalars, "
             "outputs, name),\n"
             "(\"view\", value) and (\"concat\", value), and \"notes\" on what was not fused.");
}

}  // namespace dvm::python

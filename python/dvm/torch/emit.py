"""Turns a partitioned graph into a Flow (dvm.flow): segment, torch operations, segment, ... in a straight line, each
tensor let go of after its last use.
"""

from __future__ import annotations

import keyword
import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sympy
import torch
from torch import fx

from dvm import _core
from dvm.flow.arithmetic import parse
from dvm.flow.steps import (
    Argument,
    Call,
    Compute,
    Expression,
    Fill,
    Flow,
    Held,
    Item,
    Name,
    Restride,
    Run,
    Size,
    Update,
    Word,
    tidy,
    writes,
)
from dvm.torch.aliases import after, packet_name
from dvm.torch.clock import Before
from dvm.torch.direct import direct
from dvm.torch.element_types import NAMES
from dvm.torch.partition import Partition
from dvm.torch.roles import Role
from dvm.torch.segment import Compiled
from dvm.torch.symbols import IntLike, Symbols, expression, python_text

aten = torch.ops.aten

_SIGNS: dict[Any, str] = {
    operator.add: "+",
    operator.sub: "-",
    operator.mul: "*",
    operator.floordiv: "//",
    operator.truediv: "/",
    operator.mod: "%",
    operator.eq: "==",
    operator.ne: "!=",
    operator.lt: "<",
    operator.le: "<=",
    operator.gt: ">",
    operator.ge: ">=",
}
_ARITHMETIC: dict[Any, str] = {
    torch.sym_max: "max",
    torch.sym_min: "min",
    torch.sym_float: "float",
    torch.sym_int: "int",
    math.floor: "math.floor",
    math.ceil: "math.ceil",
    math.trunc: "math.trunc",
    math.sqrt: "math.sqrt",
    getattr(torch, "_sym_sqrt", None): "math.sqrt",
    operator.neg: "-",
}
_NUMBERS = (torch.SymInt, torch.SymFloat, torch.SymBool)
_POSITIONS = (
    aten.arange.default,
    aten.arange.start,
    aten.arange.start_step,
    torch.ops.prims.iota.default,
)


@dataclass
class Emitted:
    """A Flow with what it needs to run: an Executable for each of its Graphs, and its constants."""

    flow: Flow
    executables: list[_core.Executable]
    constants: dict[str, Any]
    tensors: dict[str, Any]  # what torch knows of the Flow's tensors, by variable
    symbols: Symbols
    variables: dict[str, str]  # where a node of the graph is called otherwise
    direct: dict[fx.Node, fx.Node]  # results of kernels that go where a change would copy them

    def types(self) -> dict[str, list[Any]]:
        """Element type and sizes of all tensors that are no views."""
        named = {*self.flow.inputs, *self.flow.constants}
        for step in self.flow.steps:
            if not (isinstance(step, Call) and step.optional):
                named.update(writes(step))
        return {
            name: [_type_name(tensor.dtype), self.symbols.shape_of(tensor)]
            for name, tensor in self.tensors.items()
            if name in named
        }

    def sizes(self) -> dict[str, int]:
        """The sizes that symbols had in the arguments the graph was made with."""
        known: dict[str, int] = {}
        for name in self.flow.inputs:
            for size in self.tensors[name].shape if name in self.tensors else ():
                symbol = expression(size)
                if isinstance(size, torch.SymInt) and symbol.is_Symbol and size.node.has_hint():
                    known[str(symbol)] = int(size.node.hint)
        return known


class Emitter:
    """The Flow of one graph under construction."""

    def __init__(
        self,
        module: fx.GraphModule,
        part: Partition,
        segments: Mapping[int, Compiled],
        lifted: Mapping[fx.Node, Any] | None,
        before: Before,
    ) -> None:
        """`lifted` are placeholders that are no arguments, with what they stand for; `before` is as for partition."""
        self.module = module  # holds the constants that the graph names
        self.graph = module.graph
        self.part = part
        self.segments = segments
        self.lifted = lifted or {}
        self.before = before
        self.flow = Flow([], [], [])
        self.executables: dict[_core.Executable, int] = {}  # with the numbers of their Graphs
        self.constants: dict[str, Any] = {}
        self.names: dict[fx.Node, str] = {}
        self.taken: set[str] = set()  # names of variables
        self.symbols: dict[str, str] = {}  # symbol -> the variable of its value
        self.direct: dict[fx.Node, fx.Node] = {}
        self.held: dict[fx.Node, Held] = {}  # what the graph names besides tensors

    def emit(self) -> Emitted:
        """The Flow, which returns what the graph does."""
        self._prologue()
        phases: dict[int, list[fx.Node]] = {}
        for node in self.graph.nodes:
            if node.op not in ("placeholder", "output") and self._runs_in_torch(node):
                time = self.part.times[node]
                phases.setdefault(time if time % 2 else time + 1, []).append(node)
        self.direct = direct(self.part, self.segments, self.before)
        for time in sorted(phases.keys() | self.segments.keys()):
            if time in self.segments:
                self._segment(time, self.segments[time])
            for node in phases.get(time, ()):
                self._torch(node)
        self._results()
        described: dict[str, Any] = {}
        numbers: set[str] = set()
        for node, name in self.names.items():
            value = node.meta.get("val")
            if isinstance(value, torch.Tensor):
                described[name] = value
            elif isinstance(value, _NUMBERS):
                numbers.add(name)
        tidy(self.flow, {*self.names.values()} - numbers)
        symbols = self.part.builder.symbols
        renamed = {node.name: name for node, name in self.names.items() if node.name != name}
        executables = list(self.executables)
        return Emitted(
            self.flow, executables, self.constants, described, symbols, renamed, self.direct
        )

    def _runs_in_torch(self, node: fx.Node) -> bool:
        role = self.part.roles[node]
        if role in (Role.TORCH, Role.NUMBER, Role.RESULT) or node.op == "get_attr":
            return True
        if node not in self.part.materialized or role is Role.CORE:
            return False
        return role is not Role.COPY or self.part.times[node] % 2 != 0

    # Steps.

    def _prologue(self) -> None:
        arguments: list[fx.Node] = []
        for node in self.graph.nodes:
            if node.op != "placeholder":
                continue
            name = self._name(node)
            if node in self.lifted:
                self._constant(name, self.lifted[node])
            else:
                self.flow.inputs.append(name)
                arguments.append(node)
        # What is given as a number need not be asked of a tensor.
        arguments.sort(key=lambda node: isinstance(node.meta.get("val"), torch.Tensor))
        for node in arguments:
            self._learn_sizes(node)

    def _constant(self, name: str, value: Any) -> None:
        self.flow.constants.append(name)
        self.constants[name] = value

    def _learn_sizes(self, node: fx.Node) -> None:
        """Takes from the shape of a tensor the symbols that nothing else has told."""
        value = node.meta.get("val")
        if isinstance(value, torch.SymInt) and value.node.expr.is_Symbol:
            self.symbols.setdefault(str(value.node.expr), self._name(node))
        if not isinstance(value, torch.Tensor):
            return
        sizes: Sequence[IntLike] = value.shape
        for axis, size in enumerate(sizes):
            if isinstance(size, int):
                continue
            symbol = expression(size)
            if symbol.is_Symbol and str(symbol) not in self.symbols:
                variable = self._unique(f"size_{symbol}")
                self.symbols[str(symbol)] = variable
                self.flow.steps.append(Size(self._name(node), axis, variable))

    def _segment(self, time: int, compiled: Compiled) -> None:
        arguments: list[Argument] = [Name(self._name(node)) for node in compiled.tensors]
        for symbol in compiled.sizes:
            expr = self.part.builder.symbols.opaque.get(symbol, sympy.Symbol(symbol))
            arguments.append(self._expression(expr))
        for node in compiled.numbers:
            whole = isinstance(node.meta["val"], torch.SymInt)
            name = self._name(node)
            arguments.append(Name(name) if whole else Expression(f"float({name})"))
        results = [self._name(node) for node in compiled.outputs]
        graph = self.executables.setdefault(compiled.executable, len(self.flow.graphs))
        if graph == len(self.flow.graphs):
            self.flow.graphs.append(compiled.graph)
        into: list[Argument] = []
        if not self.direct.keys().isdisjoint(compiled.outputs):
            into = [self._target(node) for node in compiled.outputs]
        self.flow.steps.append(Run(f"segment_{time // 2}", graph, arguments, results, into))
        for node in compiled.copied:
            if node in self.direct:
                continue
            value = node.meta["val"]
            shape, strides = self._sizes(value.shape), self._sizes(value.stride())
            self.flow.steps.append(Restride(self._name(node), shape, strides))

    def _target(self, result: fx.Node) -> Argument:
        """Where the kernel writes a result when not all of them are new."""
        change = self.direct.get(result)
        if change is not None:
            return Name(self._name(change.args[0]))
        self._fill(result, None)
        return Name(self._name(result))

    def _fill(self, node: fx.Node, number: Argument) -> None:
        value = node.meta["val"]
        shape, strides = self._sizes(value.shape), self._sizes(value.stride())
        dtype = str(value.dtype).removeprefix("torch.")
        self.flow.steps.append(Fill(shape, strides, dtype, number, self._name(node)))

    def _torch(self, node: fx.Node) -> None:
        role = self.part.roles[node]
        if node.op == "get_attr":
            self._attribute(node)
        elif node.target is after:
            return  # the tensor goes by its name
        elif node.target is aten.copy_.default:
            if node in self.direct.values():
                return  # it is there
            self.flow.steps.append(Update(*map(self._name, node.args[:2])))
            return
        elif role is Role.CREATED and node.target not in _POSITIONS:
            self._fill(node, self._filling(node))
        elif node.target is aten.sym_size.int and isinstance(node.args[1], int):
            self.flow.steps.append(Size(self._name(node.args[0]), node.args[1], self._name(node)))
        elif node.target is operator.getitem and isinstance(node.args[1], int):
            self.flow.steps.append(Item(self._name(node.args[0]), node.args[1], self._name(node)))
        else:
            self._call(node, optional=role in (Role.VIEW, Role.COPY, Role.RESULT))
        self._learn_sizes(node)

    def _attribute(self, node: fx.Node) -> None:
        value = _attribute(self.module, node)
        if isinstance(value, torch.Tensor):
            self._constant(self._name(node), value)
        else:
            self.held[node] = Held(value)

    def _filling(self, node: fx.Node) -> Argument:
        """The number that a creating operation fills its tensor with."""
        packet = packet_name(node)
        if "zero" in packet:
            return 0
        if "ones" in packet:
            return 1
        place = {"scalar_tensor": 0, "full": 1, "full_like": 1, "fill": 1, "new_full": 2}[packet]
        return self._argument(node.args[place])

    def _call(self, node: fx.Node, *, optional: bool) -> None:
        if node.op == "call_module" or node.op == "call_method":
            raise NotImplementedError(f"[dvm] a graph with a {node.op} is not an ATen graph")
        result = self._name(node)
        arithmetic = self._arithmetic(node) if self.part.roles[node] is Role.NUMBER else None
        if arithmetic is not None:
            self.flow.steps.append(Compute(arithmetic, result))
            return
        target: Any = node.target
        operation: str | Held = Held(target)
        if isinstance(target, torch._ops.OpOverload) and target.namespace in ("aten", "prims"):
            operation = f"{target._schema.name}.{target._overloadname}"
        arguments = [self._argument(argument) for argument in node.args]
        named = {key: self._argument(value) for key, value in node.kwargs.items()}
        self.flow.steps.append(Call(operation, arguments, named, result, optional))

    def _arithmetic(self, node: fx.Node) -> Expression | None:
        """What a node between numbers computes, if it can be written down."""
        operands = [_number_text(self._argument(argument)) for argument in node.args]
        if node.kwargs or None in operands:
            return None
        target: Any = node.target
        sign, function = _SIGNS.get(target), _ARITHMETIC.get(target)
        if sign is not None and len(operands) == 2:
            return Expression(f"{operands[0]} {sign} {operands[1]}")
        if function is not None:
            return Expression(f"{function}({', '.join(map(str, operands))})")
        return None

    def _results(self) -> None:
        (output,) = self.graph.find_nodes(op="output")
        self.flow.returns = self._argument(output.args[0])

    # Arguments.

    def _name(self, node: Any) -> str:
        name = self.names.get(node)
        if name is None and node.target in (after, aten.copy_.default):
            name = self.names[node] = self._name(node.args[0])
        if name is None:
            name = self.names[node] = self._unique(node.name)
        return name

    def _unique(self, name: str) -> str:
        while name in self.taken or keyword.iskeyword(name) or name.startswith("__"):
            name = name.lstrip("_") + "_"
        self.taken.add(name)
        return name

    def _argument(self, value: Any) -> Argument:
        match value:
            case fx.Node():
                return self.held.get(value) or Name(self._name(value))
            case list():  # fx's own lists among them
                return [self._argument(item) for item in value]
            case tuple():
                return tuple(self._argument(item) for item in value)
            case dict():
                return {key: self._argument(item) for key, item in value.items()}
            case slice():
                return slice(*map(self._argument, (value.start, value.stop, value.step)))
            case None | bool() | int() | float() | complex() | str():
                return value
            case torch.SymInt() | torch.SymFloat() | torch.SymBool():
                return self._expression(value.node.expr)
            case torch.device():
                return Word("device", str(value))
            case torch.dtype() | torch.layout() | torch.memory_format():
                return Word(type(value).__name__, str(value).removeprefix("torch."))
            case _:
                return Held(value)

    def _sizes(self, sizes: Iterable[int | torch.SymInt]) -> list[Argument]:
        return [self._argument(size) for size in sizes]

    def _expression(self, expr: sympy.Expr) -> Argument:
        code = {}
        for symbol in expr.free_symbols:
            variable = self.symbols.get(str(symbol))
            if variable is None:
                raise NotImplementedError(f"[dvm] no argument tells the size {symbol}")
            code[symbol] = sympy.Symbol(variable, integer=True)
        if expr.is_Symbol:
            return Name(str(code[expr]))
        text = python_text(expr.xreplace(code))
        parse(text)  # what the Flow could not compute is said here and now
        return Expression(text)


def _type_name(dtype: torch.dtype) -> str:
    """As the core calls it, where it has it."""
    return NAMES.get(dtype) or str(dtype).removeprefix("torch.")


def _number_text(argument: Argument) -> str | None:
    match argument:
        case Name(text=text):
            return text
        case Expression(text=text):
            return f"({text})"
        case bool() | int():
            return repr(argument)
        case float() if argument - argument == 0:
            return repr(argument)
        case _:
            return None


def _attribute(module: Any, node: fx.Node) -> Any:
    for part in str(node.target).split("."):
        module = getattr(module, part)
    return module

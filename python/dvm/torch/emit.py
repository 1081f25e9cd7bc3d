"""Writes the Python function that runs a partitioned graph: segment, torch operations, segment, ... in a straight
line, each tensor deleted after its last use. All that a call need not decide again is decided here.
"""

from __future__ import annotations

import keyword
import math
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import sympy
import torch
from torch import fx

from dvm.torch.partition import Partition, Role, packet_name
from dvm.torch.segment import Compiled
from dvm.torch.symbols import expression, python_text

aten = torch.ops.aten

# Where torch has a method or function for an overload, it is half a microsecond faster to call.
_METHODS: dict[Any, str] = {
    # Not `view`: should an operation of torch's lay out its result otherwise than it promised, this copies.
    aten.view.default: "reshape",
    aten.t.default: "t",
    aten.transpose.int: "transpose",
    aten.permute.default: "permute",
    aten.expand.default: "expand",
    aten.unsqueeze.default: "unsqueeze",
    aten.squeeze.dim: "squeeze",
    aten.select.int: "select",
}
_FUNCTIONS: dict[Any, Callable[..., Any]] = {
    aten.mm.default: torch.mm,
    aten.bmm.default: torch.bmm,
    aten.addmm.default: torch.addmm,
    aten.linear.default: torch.nn.functional.linear,
    aten._unsafe_view.default: torch.Tensor.reshape,
}
_SIGNS: dict[Any, str] = {
    operator.add: "+",
    operator.sub: "-",
    operator.mul: "*",
    operator.floordiv: "//",
    operator.truediv: "/",
    operator.mod: "%",
}

Run = Callable[[list[Any]], Any]


@dataclass
class Statement:
    """A line of the function: what it reads, and the one variable it is for if it may be left out without it."""

    text: str
    reads: set[str]
    makes: str | None = None


class Emitter:
    """The source of one function and the objects it names."""

    def __init__(
        self,
        module: fx.GraphModule,
        graph: fx.Graph,
        part: Partition,
        segments: dict[int, Compiled],
    ) -> None:
        self.module = module  # holds the constants that the graph names
        self.graph = graph
        self.part = part
        self.segments = segments
        self.statements: list[Statement] = []
        self.scope: dict[str, Any] = {
            "math": math, "torch": torch, "empty_strided": torch.empty_strided, "restride": _restride
        }  # fmt: skip
        self.names: dict[fx.Node, str] = {}
        self.symbols: dict[str, str] = {}  # symbol -> the code of its value
        self.reads: set[str] = set()

    def function(self) -> tuple[Run, str]:
        placeholders = [node for node in self.graph.nodes if node.op == "placeholder"]
        self._prologue(placeholders)
        phases: dict[int, list[fx.Node]] = {}
        for node in self.graph.nodes:
            if node.op not in ("placeholder", "output") and self._runs_in_torch(node):
                time = self.part.times[node]
                phases.setdefault(time if time % 2 else time + 1, []).append(node)
        for time in sorted(phases.keys() | self.segments.keys()):
            if time in self.segments:
                self._segment(time, self.segments[time])
            for node in phases.get(time, ()):
                self._torch(node)
        output = next(node for node in self.graph.nodes if node.op == "output")
        self._statement(f"return {self._code(output.args[0])}")
        source = self._source(placeholders)
        exec(compile(source, "<dvm>", "exec"), self.scope)  # noqa: S102 - our own source
        run: Run = self.scope["run"]
        run._boxed_call = True  # type: ignore[attr-defined]
        return run, source

    def _runs_in_torch(self, node: fx.Node) -> bool:
        role = self.part.roles[node]
        if role in (Role.TORCH, Role.NUMBER, Role.RESULT) or node.op == "get_attr":
            return True
        if node not in self.part.materialized or role is Role.CORE:
            return False
        return role is not Role.COPY or self.part.times[node] % 2 != 0

    # Statements.

    def _prologue(self, placeholders: list[fx.Node]) -> None:
        for node in placeholders:
            name = self._name(node)
            value = node.meta.get("val")
            if isinstance(value, torch.SymInt) and value.node.expr.is_Symbol:
                self.symbols.setdefault(str(value.node.expr), name)
        for node in placeholders:
            self._learn_sizes(node)

    def _learn_sizes(self, node: fx.Node) -> None:
        """Takes from the shape of a tensor the symbols that nothing else has told."""
        value = node.meta.get("val")
        if isinstance(value, torch.SymInt) and value.node.expr.is_Symbol:
            self.symbols.setdefault(str(value.node.expr), self._name(node))
        if not isinstance(value, torch.Tensor):
            return
        for axis, size in enumerate(value.shape):
            symbol = expression(size)
            if symbol.is_Symbol and str(symbol) not in self.symbols:
                variable = f"size_{symbol}"
                self.symbols[str(symbol)] = variable
                self.reads.add(self._name(node))
                self._statement(f"{variable} = {self._name(node)}.size({axis})", variable)

    def _segment(self, time: int, compiled: Compiled) -> None:
        kernel = f"segment_{time // 2}"
        self.scope[kernel] = compiled.executable
        arguments = [self._name(node) for node in compiled.tensors]
        for symbol in compiled.sizes:
            expr = self.part.builder.symbols.opaque.get(symbol, sympy.Symbol(symbol))
            arguments.append(self._expression(expr))
        for node in compiled.numbers:
            whole = isinstance(node.meta["val"], torch.SymInt)
            arguments.append(self._code(node) if whole else f"float({self._code(node)})")
        self.reads.update(self.names[node] for node in compiled.tensors)
        results = ", ".join(self._name(node) for node in compiled.outputs)
        self._statement(f"{results} = {kernel}({', '.join(arguments)})")
        for node in compiled.copied:
            name, value = self._name(node), node.meta["val"]
            self.reads.add(name)
            shape, strides = self._sizes(value.shape), self._sizes(value.stride())
            self._statement(f"{name} = restride({name}, {shape}, {strides})")

    def _torch(self, node: fx.Node) -> None:
        name = self._name(node)
        if self.part.roles[node] is Role.CREATED and self._fills(node):
            value = node.meta["val"]
            number = self._filling(node)
            shape, strides = self._sizes(value.shape), self._sizes(value.stride())
            self.scope[f"{name}_dtype"] = value.dtype
            made = f"empty_strided({shape}, {strides}, dtype={name}_dtype)"
            self._statement(f"{name} = {made}.fill_({number})")
            return
        view = self.part.roles[node] in (Role.VIEW, Role.COPY, Role.RESULT)
        self._statement(f"{name} = {self._call(node)}", name if view else None)
        self._learn_sizes(node)

    def _fills(self, node: fx.Node) -> bool:
        return node.target not in _POSITIONS

    def _filling(self, node: fx.Node) -> str:
        """The number that a creating operation fills its tensor with."""
        packet = packet_name(node)
        if "zero" in packet:
            return "0"
        if "ones" in packet:
            return "1"
        place = {"scalar_tensor": 0, "full": 1, "full_like": 1, "fill": 1, "new_full": 2}[packet]
        return self._code(node.args[place])

    def _call(self, node: fx.Node) -> str:
        if node.op == "get_attr":
            self.scope[f"{node.name}_attribute"] = _attribute(self.module, node)
            return f"{node.name}_attribute"
        if node.op == "call_module" or node.op == "call_method":
            raise NotImplementedError(f"[dvm] a graph with a {node.op} is not an ATen graph")
        arguments = [self._code(argument) for argument in node.args]
        named = [f"{key}={self._code(value)}" for key, value in node.kwargs.items()]
        target: Any = node.target
        method = _METHODS.get(target)
        if method is not None and not named:
            return f"{arguments[0]}.{method}({', '.join(arguments[1:])})"
        sign = _SIGNS.get(target)
        if sign is not None and len(arguments) == 2:
            return f"{arguments[0]} {sign} {arguments[1]}"
        target = _FUNCTIONS.get(target, target)
        if isinstance(target, torch._ops.OpOverload):
            target = target._op if _plain(target) else target
        function = f"{node.name}_function"
        self.scope[function] = target
        return f"{function}({', '.join([*arguments, *named])})"

    # Code of values.

    def _name(self, node: fx.Node) -> str:
        name = self.names.get(node)
        if name is None:
            name = node.name + "_" if keyword.iskeyword(node.name) else node.name
            self.names[node] = name
        return name

    def _code(self, value: Any) -> str:
        if isinstance(value, fx.Node):
            self.reads.add(self._name(value))
            return self._name(value)
        if isinstance(value, tuple | list):
            inside = ", ".join(self._code(item) for item in value)
            if isinstance(value, list):
                return f"[{inside}]"
            return f"({inside},)" if len(value) == 1 else f"({inside})"
        if isinstance(value, dict):
            return "{" + ", ".join(f"{k!r}: {self._code(v)}" for k, v in value.items()) + "}"
        if isinstance(value, slice):
            parts = (self._code(part) for part in (value.start, value.stop, value.step))
            return f"slice({', '.join(parts)})"
        if value is None or isinstance(value, bool | int | str):
            return repr(value)
        if isinstance(value, float):
            return repr(value) if value - value == 0 else f"float({str(value)!r})"
        if isinstance(value, torch.SymInt | torch.SymFloat | torch.SymBool):
            return self._expression(value.node.expr)
        constant = f"constant_{len(self.scope)}"
        self.scope[constant] = value
        return constant

    def _sizes(self, sizes: Iterable[int | torch.SymInt]) -> str:
        return self._code(tuple(sizes))

    def _expression(self, expr: sympy.Expr) -> str:
        code = {}
        for symbol in expr.free_symbols:
            variable = self.symbols.get(str(symbol))
            if variable is None:
                raise NotImplementedError(f"[dvm] no argument tells the size {symbol}")
            self.reads.add(variable)
            code[symbol] = sympy.Symbol(variable, integer=True)
        if expr.is_Symbol:
            return str(code[expr])
        return f"({python_text(expr.xreplace(code))})"

    # The text of the function.

    def _statement(self, text: str, makes: str | None = None) -> None:
        self.statements.append(Statement(text, self.reads, makes))
        self.reads = set()

    def _needed(self) -> list[Statement]:
        """The statements without those whose results nothing reads."""
        needed: list[Statement] = []
        read: set[str] = set()
        for statement in reversed(self.statements):
            if statement.makes is None or statement.makes in read:
                needed.append(statement)
                read |= statement.reads
        return needed[::-1]

    def _source(self, placeholders: list[fx.Node]) -> str:
        statements = self._needed()
        last = {
            name: number for number, statement in enumerate(statements) for name in statement.reads
        }
        dying: dict[int, list[str]] = {}
        tensors = {
            name for node, name in self.names.items()
            if not isinstance(node.meta.get("val"), torch.SymInt | torch.SymFloat | torch.SymBool)
        }  # fmt: skip
        for name, number in last.items():
            if name in tensors and number < len(statements) - 1:
                dying.setdefault(number, []).append(name)
        text = ["def run(args):"]
        if placeholders:
            names = ", ".join(self.names[node] for node in placeholders)
            text.append(f"    {names}, = args")
        text.append("    args.clear()")
        for number, statement in enumerate(statements):
            text.append(f"    {statement.text}")
            if number in dying:
                text.append(f"    del {', '.join(sorted(dying[number]))}")
        return "\n".join(text) + "\n"


_POSITIONS = (
    aten.arange.default,
    aten.arange.start,
    aten.arange.start_step,
    torch.ops.prims.iota.default,
)


def _plain(overload: torch._ops.OpOverload) -> bool:
    """Whether torch's own function may be called past its Python wrapper."""
    return overload.namespace == "aten"


def _attribute(module: Any, node: fx.Node) -> Any:
    for part in str(node.target).split("."):
        module = getattr(module, part)
    return module


def _restride(tensor: torch.Tensor, shape: tuple[int, ...], strides: tuple[int, ...]) -> Any:
    """A copy with the strides that torch expects and the core does not write."""
    return torch.empty_strided(shape, strides, dtype=tensor.dtype).copy_(tensor)
